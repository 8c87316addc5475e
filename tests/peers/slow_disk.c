/* A slow disk: a library that, put before the system's own, makes writing below one directory slow.
 *
 *     cc -shared -fPIC -o slow_disk.so slow_disk.c -ldl
 *     SLOW_DIRECTORY=/srv/out SLOW_BYTES_PER_S=1000000 LD_PRELOAD=./slow_disk.so program
 *
 * The program is the real one and its files are real; only `write` comes back later, by as much as a
 * disk of that speed would take. Needs Linux, for /proc.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int is_slow(int fd) {
    const char *directory = getenv("SLOW_DIRECTORY");
    char link[64], path[PATH_MAX];
    if (directory == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return strncmp(path, directory, strlen(directory)) == 0;
}

static void wait_for(size_t bytes) {
    const char *speed = getenv("SLOW_BYTES_PER_S");
    double seconds = speed == NULL || atof(speed) <= 0 ? 0 : (double)bytes / atof(speed);
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    nanosleep(&time, NULL);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    static ssize_t (*system_write)(int, const void *, size_t);
    if (system_write == NULL)
        system_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    ssize_t written = system_write(fd, bytes, size);
    if (written > 0 && is_slow(fd))
        wait_for((size_t)written);
    return written;
}
