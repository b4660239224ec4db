import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.haproxy.HAProxyMessage;
import io.netty.handler.codec.haproxy.HAProxyMessageDecoder;
import java.nio.charset.StandardCharsets;

public class Server {
    public static void main(String[] args) throws Exception {
        var group = new NioEventLoopGroup();
        new ServerBootstrap().group(group).channel(NioServerSocketChannel.class)
            .childHandler(new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel channel) {
                    channel.pipeline().addLast(new HAProxyMessageDecoder(), new Echo());
                }
            }).bind("127.0.0.1", 8080).sync().channel().closeFuture().sync();
    }

    static class Echo extends ChannelInboundHandlerAdapter {
        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HAProxyMessage) {
                var header = (HAProxyMessage) message;
                // A LOCAL header, or UNKNOWN, names nobody: the client is the peer.
                var peer = ((SocketChannel) context.channel()).remoteAddress();
                var client = header.sourceAddress() != null
                    ? header.sourceAddress() + " " + header.sourcePort()
                    : peer.getAddress().getHostAddress() + " " + peer.getPort();
                context.writeAndFlush(Unpooled.copiedBuffer(client + "\n", StandardCharsets.US_ASCII));
            } else {
                context.writeAndFlush((ByteBuf) message);
            }
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            context.close();
        }
    }
}
