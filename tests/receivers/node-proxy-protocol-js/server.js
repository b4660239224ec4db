const net = require('net');
const { V1ProxyProtocol, V2ProxyProtocol } = require('proxy-protocol-js');

// The package parses a buffer; how much is a header, and when it is whole, is for its user to find out.
function parse(bytes) {
  if (bytes.length >= 16 && bytes[0] === 0x0d) {
    const length = 16 + bytes.readUInt16BE(14);
    if (bytes.length < length) return null;
    const header = V2ProxyProtocol.parse(bytes.subarray(0, length));
    const address = header && header.proxyAddress;
    return header && { length, client: address && address.sourceAddress && `${address.sourceAddress.address || address.sourceAddress} ${address.sourcePort}` };
  }
  const end = bytes.indexOf('\r\n');
  if (bytes.subarray(0, 5).toString() === 'PROXY'.slice(0, bytes.length) && end < 0 && bytes.length < 107) return null;
  if (bytes[0] === 0x0d && bytes.length < 16) return null;
  const header = V1ProxyProtocol.parse(bytes.subarray(0, end + 2).toString());
  const isKnown = header && header.inetProtocol !== 'UNKNOWN';
  return header && { length: end + 2, client: isKnown && `${header.source.ipAddress} ${header.source.port}` };
}

net.createServer((socket) => {
  let bytes = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', function read(more) {
    bytes = Buffer.concat([bytes, more]);
    let header;
    try {
      header = parse(bytes);
    } catch (error) {
      socket.destroy();
      return;
    }
    if (header === null) return;
    if (!header) {
      socket.destroy();
      return;
    }
    socket.off('data', read);
    socket.write(`${header.client || `${socket.remoteAddress} ${socket.remotePort}`}\n`);
    socket.write(bytes.subarray(header.length));
    socket.pipe(socket);
  });
}).listen(8080, '127.0.0.1');
