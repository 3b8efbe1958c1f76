/*
 * What the parts of the addon share: errors that carry errno, one-shot calls on the thread pool,
 * and the functions each part registers. Strings and buffers are checked where they enter.
 */
#ifndef TANDEMFS_ADDON_H
#define TANDEMFS_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ATTEMPT_MAX 256
#define PATH_MAX_BYTES 4096

/* Returns NULL from the calling callback when an N-API call fails; the exception is pending. */
#define TRY(env, call)                                                                             \
  do {                                                                                             \
    if ((call) != napi_ok) {                                                                       \
      throw_failed(env, #call);                                                                    \
      return NULL;                                                                                 \
    }                                                                                              \
  } while (0)

/* An Error with `code` (errno name), `errno` (positive) and a message naming what was attempted. */
napi_value make_error(napi_env env, int err, const char *attempt);
void throw_errno(napi_env env, int err, const char *attempt);
/* Throws unless an exception is pending already. */
void throw_failed(napi_env env, const char *what);

/* Argument readers: throw a TypeError and return false when the value is not of that kind. */
bool arg_int(napi_env env, napi_value value, const char *name, int *out);
bool arg_int64(napi_env env, napi_value value, const char *name, int64_t *out);
bool arg_string(napi_env env, napi_value value, const char *name, char *out, size_t capacity);
bool arg_bytes(napi_env env, napi_value value, const char *name, void **data, size_t *size);

/* One blocking system call on the thread pool, answered through a promise. */
struct async_call {
  napi_async_work work;
  napi_deferred deferred;
  int (*run)(struct async_call *call); /* 0 or a positive errno; runs off the event loop */
  int err;
  int fd;
  int flags;
  int64_t offset;
  int64_t length;
  void *data; /* owned; freed when the call ends */
  char attempt[ATTEMPT_MAX];
};

struct async_call *async_call_new(napi_env env, const char *attempt);
void async_call_free(struct async_call *call);
/* Takes ownership of `call`; returns the promise, or NULL with an exception pending. */
napi_value async_call_start(napi_env env, struct async_call *call);

bool export_function(napi_env env, napi_value exports, const char *name, napi_callback callback);
bool export_checked_read(napi_env env, napi_value exports);
bool export_datagram(napi_env env, napi_value exports);
bool export_digests(napi_env env, napi_value exports);
bool export_device_mount(napi_env env, napi_value exports);
bool export_message(napi_env env, napi_value exports);
bool export_reader(napi_env env, napi_value exports);
bool export_secret_stream(napi_env env, napi_value exports);
bool export_system(napi_env env, napi_value exports);

#endif
