// Node: its events, and each connection piped into itself.
const net = require('node:net');

const HEADER = /^PROXY (?:TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})\r\n/;

function isHeader(head) {
  const [, source, destination, ...ports] = HEADER.exec(head) ?? [];
  return net.isIP(source) && net.isIP(source) === net.isIP(destination) && ports.every((port) => port < 65536);
}

const server = net.createServer({ noDelay: true }, (socket) => {
  let head = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', function readHeader(data) {
    head += data.toString('latin1');
    if (!head.includes('\n') && head.length <= 107) return;
    if (!isHeader(head)) return socket.destroy();
    socket.off('data', readHeader);
    socket.write(head, 'latin1');
    socket.pipe(socket);
  });
});
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
