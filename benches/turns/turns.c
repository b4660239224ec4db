// Measures every turn of a program's event loop, by `LD_PRELOAD`: the CPU time of its thread from the return of one
// `epoll_wait(2)` to the next call. Says at the program's end how many turns there were and how long they took.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>

enum { MICROS = 1000000 };

static unsigned counts[MICROS + 1];
static unsigned long turns, longest_ns, began_ns;

static unsigned long cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ul + now.tv_nsec;
}

int epoll_wait(int poll, struct epoll_event *events, int most, int timeout) {
    static int (*next)(int, struct epoll_event *, int, int);
    if (!next) next = dlsym(RTLD_NEXT, "epoll_wait");
    if (began_ns) {
        unsigned long ns = cpu_ns() - began_ns, micros = ns / 1000;
        turns++;
        counts[micros < MICROS ? micros : MICROS]++;
        if (ns > longest_ns) longest_ns = ns;
    }
    int count = next(poll, events, most, timeout);
    began_ns = cpu_ns();
    return count;
}

static double quantile_ms(double share) {
    unsigned long seen = 0, micros = 0;
    while (micros < MICROS && (seen += counts[micros]) < turns * share) micros++;
    return micros / 1e3;
}

__attribute__((destructor)) static void report(void) {
    fprintf(stderr, "%lu turns, p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, longest %.3f ms\n", turns, quantile_ms(0.5),
            quantile_ms(0.99), quantile_ms(0.999), longest_ns / 1e6);
}
