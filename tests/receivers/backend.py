"""The web server behind a proxy under test: it answers with the client's address that the proxy states."""

import http.server


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = ["X-Real-Ip", "X-Forwarded-For", "Forwarded", "Client-Ip"]
        said = "".join(f"{name}: {self.headers[name]}\n" for name in names if self.headers[name]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Handler).serve_forever()
