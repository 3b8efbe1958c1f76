/*
 * One Linux file system call that Node has no function for, made on paths and numbers from the
 * command line: `file-calls CALL ARGUMENTS...`. Prints its result, or the name of its errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char **word;

static void fail(void) {
  puts(strerrorname_np(errno));
  exit(0);
}

static long long check(long long result) {
  if (result < 0) fail();
  return result;
}

static long long number(int index) { return strtoll(word[index], NULL, 0); }

static int opened(int index, int flags) { return (int)check(open(word[index], flags, 0644)); }

static int link_open(int fd, const char *path) {
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

/* DIRECTORY TEXT NAME [excl]: a file without a name gets one. Prints its link count before. */
static void call_tmpfile(void) {
  int fd = opened(0, O_TMPFILE | O_RDWR | (word[3] != NULL ? O_EXCL : 0));
  struct stat stat;
  check(write(fd, word[1], strlen(word[1])));
  check(fstat(fd, &stat));
  check(link_open(fd, word[2]));
  printf("%d\n", (int)stat.st_nlink);
}

/* FILE NAME: a file that has lost its name is to get another. */
static void call_relink(void) {
  int fd = opened(0, O_RDONLY);
  check(unlink(word[0]));
  check(link_open(fd, word[1]));
  puts("ok");
}

/* SOURCE OFFSET TARGET OFFSET LENGTH: prints how much was copied, in as many calls as it takes. */
static void call_copy(void) {
  int from = opened(0, O_RDONLY);
  int to = opened(2, O_RDWR | O_CREAT);
  loff_t at = number(1), put = number(3);
  long long total = 0, left = number(4);
  while (left > 0) {
    long long some = check(copy_file_range(from, &at, to, &put, (size_t)left, 0));
    if (some == 0) break;
    total += some;
    left -= some;
  }
  printf("%lld\n", total);
}

/* SOURCE TARGET */
static void call_clone(void) {
  int from = opened(0, O_RDONLY);
  check(ioctl(opened(1, O_RDWR | O_CREAT), FICLONE, from));
  puts("ok");
}

/* FILE: time of birth and of the last change of the inode. */
static void call_birth(void) {
  struct statx stat;
  check(statx(AT_FDCWD, word[0], 0, STATX_BASIC_STATS | STATX_BTIME, &stat));
  if ((stat.stx_mask & STATX_BTIME) == 0) {
    puts("none");
    return;
  }
  printf("%lld.%09u %lld.%09u\n", (long long)stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec,
         (long long)stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec);
}

/* FILE MODE OFFSET LENGTH */
static void call_fallocate(void) {
  check(fallocate(opened(0, O_RDWR | O_CREAT), (int)number(1), number(2), number(3)));
  puts("ok");
}

/* FILE data|hole OFFSET */
static void call_seek(void) {
  int whence = strcmp(word[1], "data") == 0 ? SEEK_DATA : SEEK_HOLE;
  printf("%lld\n", check(lseek(opened(0, O_RDONLY), number(2), whence)));
}

/* FLAGS FROM TO */
static void call_rename(void) {
  check(renameat2(AT_FDCWD, word[1], AT_FDCWD, word[2], (unsigned int)number(0)));
  puts("ok");
}

/* FILE: size and blocks. */
static void call_size(void) {
  struct stat at;
  check(stat(word[0], &at));
  printf("%lld %lld\n", (long long)at.st_size, (long long)at.st_blocks);
}

/* FILE OFFSET TEXT */
static void call_pwrite(void) {
  int fd = opened(0, O_RDWR | O_CREAT);
  printf("%lld\n", check(pwrite(fd, word[2], strlen(word[2]), number(1))));
}

/* FILE OFFSET LENGTH: how many bytes there are. */
static void call_pread(void) {
  static char buffer[65536];
  printf("%lld\n", check(pread(opened(0, O_RDONLY), buffer, (size_t)number(2), number(1))));
}

/* FILE SIZE */
static void call_truncate(void) {
  check(truncate(word[0], number(1)));
  puts("ok");
}

/* FILE NAME SIZE FLAGS: so many bytes as the value. */
static void call_setxattr(void) {
  size_t size = (size_t)number(2);
  char *value = malloc(size + 1);
  memset(value, 'v', size);
  check(setxattr(word[0], word[1], value, size, (int)number(3)));
  puts("ok");
}

/* FILE NAME SIZE: how long the value is, read into so many bytes. */
static void call_getxattr(void) {
  size_t size = (size_t)number(2);
  char *value = malloc(size + 1);
  printf("%lld\n", check(getxattr(word[0], word[1], value, size)));
}

/* FILE NAME */
static void call_removexattr(void) {
  check(removexattr(word[0], word[1]));
  puts("ok");
}

static const struct {
  const char *name;
  int words;
  void (*run)(void);
} calls[] = {
    {"tmpfile", 3, call_tmpfile},     {"relink", 2, call_relink},
    {"copy", 5, call_copy},           {"clone", 2, call_clone},
    {"birth", 1, call_birth},         {"fallocate", 4, call_fallocate},
    {"seek", 3, call_seek},           {"rename", 3, call_rename},
    {"size", 1, call_size},           {"pwrite", 3, call_pwrite},
    {"pread", 3, call_pread},         {"truncate", 2, call_truncate},
    {"setxattr", 4, call_setxattr},   {"getxattr", 3, call_getxattr},
    {"removexattr", 2, call_removexattr},
};

int main(int count, char **arguments) {
  for (size_t i = 0; count > 1 && i < sizeof calls / sizeof *calls; i++) {
    if (strcmp(arguments[1], calls[i].name) != 0 || count - 2 < calls[i].words) continue;
    word = arguments + 2;
    calls[i].run();
    return 0;
  }
  fprintf(stderr, "file-calls: unknown call or too few arguments\n");
  return 2;
}
