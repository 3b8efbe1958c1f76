/*
 * Preloaded into a program that knows one file by one path: every other open() of ALTERNATE_FIRST
 * opens ALTERNATE_SECOND instead, which is the same file on the mount of another node. A program
 * that closes and opens its file again so works on two nodes in turn.
 *
 * Commands it would run say they succeeded and are not run: fsx drops the page cache of the whole
 * machine at every close, which slows everything else on it and does not test these mounts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef int (*open_function)(const char *, int, ...);

static const char *alternate(const char *path) {
  static unsigned int count;
  const char *first = getenv("ALTERNATE_FIRST");
  const char *second = getenv("ALTERNATE_SECOND");
  if (first == NULL || second == NULL || strcmp(path, first) != 0) return path;
  return count++ % 2 == 0 ? first : second;
}

static int open_next(const char *path, int flags, mode_t mode) {
  static open_function next;
  if (next == NULL) next = (open_function)dlsym(RTLD_NEXT, "open");
  return next(alternate(path), flags, mode);
}

int system(const char *command) {
  (void)command;
  return 0;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_next(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_next(path, flags | O_LARGEFILE, mode);
}
