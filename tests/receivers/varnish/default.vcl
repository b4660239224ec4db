vcl 4.1;

import std;

backend none none;

sub vcl_recv {
    return (synth(200));
}

sub vcl_synth {
    set resp.http.X-Client = client.ip + " " + std.port(client.ip);
    return (deliver);
}
