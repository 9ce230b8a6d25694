/* A disk that fails and a clock that steps, put before the C library of the real program (LD_PRELOAD) by tests/suites/machine.rs.

   A fault is in force while a file of its name is in the directory that TACHO_FAULTS names:

     sync    every sync of a file fails with EIO; where the file holds "after", it fails once the disk has everything
     torn    a write stores its first half, and the next of that thread fails with EIO
     short   a write stores 100 bytes at most, and says so
     clock   the wall clock is wrong by so many seconds as the file holds */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 32, SHORT_BYTES = 100 };

/* Whether a fault is in force, and what its file holds. */
static int in_force(const char *name, char text[TEXT_BYTES]) {
  const char *directory = getenv("TACHO_FAULTS");
  char path[4096];
  if (directory == NULL) return 0;
  int length = snprintf(path, sizeof path, "%s/%s", directory, name);
  if (length < 0 || (size_t)length >= sizeof path) return 0;
  int before = errno;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = file < 0 ? -1 : read(file, text, TEXT_BYTES - 1);
  if (file >= 0) close(file);
  errno = before;
  if (got < 0) return 0;
  text[got] = 0;
  return 1;
}

/* Pipes and sockets are as they were. */
static int is_file(int file) {
  struct stat found;
  return fstat(file, &found) == 0 && S_ISREG(found.st_mode);
}

static int failing_sync(const char *name, int file) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  char text[TEXT_BYTES];
  if (is_file(file) && in_force("sync", text)) {
    if (strncmp(text, "after", 5) == 0) sync(file);
    errno = EIO;
    return -1;
  }
  return sync(file);
}

int fdatasync(int file) { return failing_sync("fdatasync", file); }

int fsync(int file) { return failing_sync("fsync", file); }

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
  static __thread int is_torn;
  static ssize_t (*write_at)(int, const void *, size_t, off64_t);
  char text[TEXT_BYTES];
  if (write_at == NULL) write_at = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (is_file(file) && in_force("torn", text)) {
    if (is_torn) {
      errno = EIO;
      return -1;
    }
    is_torn = 1;
    return write_at(file, bytes, (length + 1) / 2, offset);
  }
  if (length > SHORT_BYTES && is_file(file) && in_force("short", text)) length = SHORT_BYTES;
  return write_at(file, bytes, length, offset);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*gettime)(clockid_t, struct timespec *);
  char text[TEXT_BYTES];
  if (gettime == NULL) gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = gettime(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME && in_force("clock", text)) now->tv_sec += atol(text);
  return result;
}
