/* See request.h. */
#include "request.h"

#include <errno.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

double boottime_ms(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
    return INFINITY;
  }
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

bool write_answer(int fd, const void *answer, size_t size) {
  ssize_t written;
  do {
    written = write(fd, answer, size);
  } while (written < 0 && errno == EINTR);
  /* ENOENT: nobody waits for it any more. For anything else the ordinary answer finds the error. */
  return written >= 0 || errno == ENOENT;
}
