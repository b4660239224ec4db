# Ruby, as the article that started this has it: a thread for each connection, line by line, and all of it on the screen.
# The header is a line like any other.
require "socket"

def echo(socket)
  socket.setsockopt(:TCP, :NODELAY, true)
  puts "#{socket} is accepted, #{socket.peeraddr(false)}"
  while (line = socket.gets)
    socket.write(line)
    puts "IN> #{line.sub("\r", "<CR>").sub("\n", "<LF>")}"
  end
  puts "#{socket} is gone"
rescue SystemCallError => error
  puts "#{socket} is gone: #{error}"
ensure
  socket.close
end

server = TCPServer.new("127.0.0.1", Integer(ARGV.fetch(0)))
server.listen(4096)
loop { Thread.new(server.accept) { |socket| echo(socket) } }
