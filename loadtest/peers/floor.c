// The floor: the least that a single-threaded echo server can do. Every byte goes back as it came, and so does the header,
// unread. No limits, no timeouts, no log.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[64 << 10];

static void take(int poll_fd, int listener) {
    int client, on = 1;
    while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, client, &(struct epoll_event){.events = EPOLLIN, .data.fd = client});
    }
}

static void echo(int client) {
    ssize_t length = recv(client, buffer, sizeof buffer, 0);
    for (ssize_t sent = 0, part; sent < length; sent += part) {
        part = send(client, buffer + sent, length - sent, MSG_NOSIGNAL);
        if (part < 0) {
            // The client takes nothing now. A real server serves the others meanwhile.
            part = 0;
            if (poll(&(struct pollfd){.fd = client, .events = POLLOUT}, 1, -1) < 0) length = 0;
        }
    }
    if (length <= 0) close(client);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;

    int poll_fd = epoll_create1(0);
    struct epoll_event events[1024];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    for (;;) {
        int count = epoll_wait(poll_fd, events, 1024, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) take(poll_fd, listener);
            else echo(events[i].data.fd);
        }
    }
}
