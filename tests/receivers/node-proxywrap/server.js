const net = require('net');
const proxied = require('findhit-proxywrap').proxy(net, { strict: true });

proxied.createServer((socket) => {
  socket.on('error', () => {});
  socket.write(`${socket.remoteAddress} ${socket.remotePort}\n`);
  socket.pipe(socket);
}).listen(8080, '127.0.0.1');

// The package throws some errors of its own where nobody can catch them.
process.on('uncaughtException', (error) => console.error(error.message));
