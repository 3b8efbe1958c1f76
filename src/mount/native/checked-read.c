/*
 * Bytes of a file, read into memory of the caller and checked there, in one call for many parts.
 */
#include "addon.h"
#include "crc32.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct part {
  uint32_t length;
  uint32_t crc32;
};

/* 0, or a positive errno; ENODATA when the file ends before. */
static int read_whole(int fd, uint8_t *target, size_t size, int64_t offset) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = pread(fd, target + done, size - done, offset + (int64_t)done);
    if (got > 0) {
      done += (size_t)got;
    } else if (got == 0) {
      return ENODATA;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

/* EBADMSG when a part is not what its sum says, EINVAL when the parts do not fill the target. */
static int check_parts(const uint8_t *bytes, size_t size, const uint8_t *parts, size_t count) {
  size_t done = 0;
  for (size_t i = 0; i < count; i++) {
    struct part part;
    memcpy(&part, parts + i * sizeof(part), sizeof(part));
    if (part.length > size - done) {
      return EINVAL;
    }
    if (crc32_of(0, bytes + done, part.length) != part.crc32) {
      return EBADMSG;
    }
    done += part.length;
  }
  return done == size ? 0 : EINVAL;
}

/*
 * readChecked(fd, target, offset, parts, once): fills `target`. `parts`: length and crc32 of each part of it,
 * u32 each. `once`: the page cache need not keep what was read; what is not on the disk yet stays. 0 or a
 * positive errno; EBADMSG for other bytes than those, ENODATA when the file ends before.
 */
static napi_value read_checked(napi_env env, napi_callback_info info) {
  napi_value args[5], result;
  size_t count = 5, size, parts_size;
  int fd;
  int64_t offset;
  bool once;
  void *target, *parts;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_int(env, args[0], "fd", &fd) || !arg_bytes(env, args[1], "target", &target, &size) ||
      !arg_int64(env, args[2], "offset", &offset) ||
      !arg_bytes(env, args[3], "parts", &parts, &parts_size)) {
    return NULL;
  }
  TRY(env, napi_get_value_bool(env, args[4], &once));
  int err = read_whole(fd, target, size, offset);
  if (err == 0) {
    err = check_parts(target, size, parts, parts_size / sizeof(struct part));
  }
  if (err == 0 && once) {
    posix_fadvise(fd, offset, (off_t)size, POSIX_FADV_DONTNEED);
  }
  TRY(env, napi_create_int32(env, err, &result));
  return result;
}

/* crc32(bytes, start): as zlib's. */
static napi_value crc32_of_bytes(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  size_t count = 2, size;
  uint32_t start;
  void *data;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_bytes(env, args[0], "bytes", &data, &size)) {
    return NULL;
  }
  TRY(env, napi_get_value_uint32(env, args[1], &start));
  TRY(env, napi_create_uint32(env, crc32_of(start, data, size), &result));
  return result;
}

bool export_checked_read(napi_env env, napi_value exports) {
  return export_function(env, exports, "crc32", crc32_of_bytes) &&
         export_function(env, exports, "readChecked", read_checked);
}
