/* Makes the n-th write, sync or rename below a folder fail, once or from then on; for LD_PRELOAD.
 *
 * FAIL_BELOW   the folder; FAIL_CALL  write, sync or rename; FAIL_AT  n, from 1; FAIL_FOR_EVER  1 or unset;
 * FAIL_WITH    the errno, as a number; FAIL_REPORT  a file that is created when a call fails.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static int fails(const char *call, const char *path)
{
    const char *below = getenv("FAIL_BELOW"), *wanted = getenv("FAIL_CALL"), *at = getenv("FAIL_AT");
    if (!below || !wanted || !at || strcmp(call, wanted) || strncmp(path, below, strlen(below)))
        return 0;
    long now = ++calls;
    if (now < atol(at) || (now > atol(at) && !getenv("FAIL_FOR_EVER")))
        return 0;
    const char *report = getenv("FAIL_REPORT");
    int file = report ? open(report, O_CREAT | O_CLOEXEC, 0644) : -1;
    if (file >= 0)
        close(file);
    errno = atoi(getenv("FAIL_WITH"));
    return 1;
}

static int fd_fails(const char *call, int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { return fd_fails("write", fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return fd_fails("write", fd) ? -1 : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return fd_fails("write", fd) ? -1 : REAL(pwrite64)(fd, data, size, at); }
int fsync(int fd) { return fd_fails("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fd_fails("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
