# Port 8080, then port 8888. Piped, because proxy-echo is not a web server: leave vcl_recv out in front of one.
vcl 4.1;

backend echo {
    .host = "127.0.0.1";
    .port = "8888";
    .proxy_header = 2;
}

sub vcl_recv {
    return (pipe);
}
