/* LD_PRELOAD: wall clocks that show what the file LEM_CLOCK holds, nanoseconds since 1970, to every process that has it.

   Whoever keeps the file moves the time. Monotonic clocks and sleeps are left alone: whoever waits, waits as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static int (*kernel)(clockid_t, struct timespec *);
static const volatile long long *shown;

__attribute__((constructor)) static void open_clock(void) {
    kernel = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    shown = mmap(NULL, sizeof *shown, PROT_READ, MAP_SHARED, open(getenv("LEM_CLOCK"), O_RDONLY | O_CLOEXEC), 0);
    if (shown == MAP_FAILED) abort();
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    if (!shown) open_clock(); /* another library's constructor came first */
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return kernel(clock, out);
    long long now = *shown;
    *out = (struct timespec){now / 1000000000LL, now % 1000000000LL};
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
