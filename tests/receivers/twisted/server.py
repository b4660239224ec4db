from twisted.internet import endpoints, protocol, reactor


class Echo(protocol.Protocol):
    greeted = False

    def dataReceived(self, data):
        if not self.greeted:  # Behind HAProxy's header the peer is the client, but only from the first data on.
            self.greeted = True
            peer = self.transport.getPeer()
            self.transport.write(f"{peer.host} {peer.port}\n".encode())
        self.transport.write(data)


endpoints.serverFromString(reactor, "haproxy:tcp:8080:interface=127.0.0.1").listen(
    protocol.Factory.forProtocol(Echo)
)
reactor.run()
