bind = "127.0.0.1:8080"
proxy_protocol = True
proxy_allow_ips = "127.0.0.1"
worker_class = "gthread"
threads = 32
