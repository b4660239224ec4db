# Port 8080, then proxy-echo on port 8888. vcl_recv pipes all bytes, because proxy-echo is not a web server: in front of a web
# server, leave vcl_recv out.
vcl 4.1;

backend echo {
    .host = "127.0.0.1";
    .port = "8888";
    .proxy_header = 1;
}

sub vcl_recv {
    return (pipe);
}
