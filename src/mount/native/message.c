/*
 * Messages to the kernel. A reply is one writev on the event loop: it copies and returns. A
 * notification may sleep in the kernel until other requests are answered, so it runs on the thread
 * pool from a copy of its bytes.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PARTS_MAX 64
#define NOTIFY_MAX_BYTES (1 << 20)

static int write_whole(int fd, const struct iovec *parts, int count, size_t total) {
  ssize_t written;
  do {
    written = writev(fd, parts, count);
  } while (written < 0 && errno == EINTR);
  if (written < 0) {
    return errno;
  }
  return (size_t)written == total ? 0 : EIO;
}

/* writeReply(fd, parts): one writev; returns 0 or a positive errno, throws for bad arguments. */
static napi_value write_reply(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  size_t count = 2, total = 0;
  int fd;
  uint32_t length;
  struct iovec parts[PARTS_MAX];
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_int(env, args[0], "fd", &fd)) {
    return NULL;
  }
  TRY(env, napi_get_array_length(env, args[1], &length));
  if (length == 0 || length > PARTS_MAX) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "parts must be 1 to 64 byte arrays");
    return NULL;
  }
  for (uint32_t i = 0; i < length; i++) {
    napi_value part;
    TRY(env, napi_get_element(env, args[1], i, &part));
    if (!arg_bytes(env, part, "part", &parts[i].iov_base, &parts[i].iov_len)) {
      return NULL;
    }
    total += parts[i].iov_len;
  }
  TRY(env, napi_create_int32(env, write_whole(fd, parts, (int)length, total), &result));
  return result;
}

static int run_notification(struct async_call *call) {
  struct iovec part = {.iov_base = call->data, .iov_len = (size_t)call->length};
  return write_whole(call->fd, &part, 1, part.iov_len);
}

/* writeNotification(fd, message): copies, writes off the loop, resolves when the kernel took it. */
static napi_value write_notification(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t count = 2, size;
  int fd;
  void *data;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_int(env, args[0], "fd", &fd) || !arg_bytes(env, args[1], "message", &data, &size)) {
    return NULL;
  }
  if (size == 0 || size > NOTIFY_MAX_BYTES) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "message must be 1 byte to 1 MiB");
    return NULL;
  }
  struct async_call *call = async_call_new(env, "notify");
  if (call == NULL) {
    return NULL;
  }
  call->run = run_notification;
  call->fd = fd;
  call->length = (int64_t)size;
  call->data = malloc(size);
  if (call->data == NULL) {
    async_call_free(call);
    throw_errno(env, ENOMEM, "notify");
    return NULL;
  }
  memcpy(call->data, data, size);
  return async_call_start(env, call);
}

/* pageOffset(bytes): how far behind the beginning of a page of memory they begin. */
static napi_value page_offset(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  size_t count = 1, size;
  void *data;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_bytes(env, args[0], "bytes", &data, &size)) {
    return NULL;
  }
  uint32_t offset = (uint32_t)((uintptr_t)data % (uintptr_t)sysconf(_SC_PAGESIZE));
  TRY(env, napi_create_uint32(env, offset, &result));
  return result;
}

bool export_message(napi_env env, napi_value exports) {
  return export_function(env, exports, "writeReply", write_reply) &&
         export_function(env, exports, "writeNotification", write_notification) &&
         export_function(env, exports, "pageOffset", page_offset);
}
