/* Calls Node has no name for: fallocate, sync_file_range, posix_fadvise, flock, CLOCK_BOOTTIME, malloc_trim. */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

static int run_fallocate(struct async_call *call) {
  int result;
  do {
    result = fallocate(call->fd, call->flags, call->offset, call->length);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

static int run_sync_file_range(struct async_call *call) {
  int result;
  do {
    result = sync_file_range(call->fd, call->offset, call->length, (unsigned int)call->flags);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

static int run_fadvise(struct async_call *call) {
  return posix_fadvise(call->fd, call->offset, call->length, call->flags);
}

static bool range_arguments(napi_env env, napi_callback_info info, struct async_call *call) {
  napi_value args[4];
  size_t count = 4;
  return napi_get_cb_info(env, info, &count, args, NULL, NULL) == napi_ok &&
         arg_int(env, args[0], "fd", &call->fd) && arg_int(env, args[1], "flags", &call->flags) &&
         arg_int64(env, args[2], "offset", &call->offset) &&
         arg_int64(env, args[3], "length", &call->length);
}

static napi_value start_on_range(napi_env env, napi_callback_info info, const char *attempt,
                                 int (*run)(struct async_call *call)) {
  struct async_call *call = async_call_new(env, attempt);
  if (call == NULL) {
    return NULL;
  }
  if (!range_arguments(env, info, call)) {
    throw_failed(env, attempt);
    async_call_free(call);
    return NULL;
  }
  call->run = run;
  return async_call_start(env, call);
}

/* fallocate(fd, mode, offset, length): on the thread pool. */
static napi_value fallocate_async(napi_env env, napi_callback_info info) {
  return start_on_range(env, info, "fallocate", run_fallocate);
}

/* syncFileRange(fd, flags, offset, length): on the thread pool. */
static napi_value sync_file_range_async(napi_env env, napi_callback_info info) {
  return start_on_range(env, info, "sync_file_range", run_sync_file_range);
}

/* fadvise(fd, advice, offset, length): on the thread pool. */
static napi_value fadvise_async(napi_env env, napi_callback_info info) {
  return start_on_range(env, info, "posix_fadvise", run_fadvise);
}

/* tryLockFile(fd): whether the whole-file exclusive lock was free; it ends with the descriptor. */
static napi_value try_lock_file(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  size_t count = 1;
  int fd, outcome;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_int(env, args[0], "fd", &fd)) {
    return NULL;
  }
  do {
    outcome = flock(fd, LOCK_EX | LOCK_NB);
  } while (outcome != 0 && errno == EINTR);
  if (outcome != 0 && errno != EWOULDBLOCK) {
    throw_errno(env, errno, "flock");
    return NULL;
  }
  TRY(env, napi_get_boolean(env, outcome == 0, &result));
  return result;
}

/* boottimeMs(): CLOCK_BOOTTIME, which goes on during suspend, in milliseconds with fractions. */
static napi_value boottime_ms(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  napi_value result;
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
    throw_errno(env, errno, "clock_gettime CLOCK_BOOTTIME");
    return NULL;
  }
  TRY(env, napi_create_double(env, (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6, &result));
  return result;
}

/* trimMemory(): what malloc keeps free goes back to the system, where the C library can do that. */
static napi_value trim_memory(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return NULL;
}

bool export_system(napi_env env, napi_value exports) {
  return export_function(env, exports, "fallocate", fallocate_async) &&
         export_function(env, exports, "syncFileRange", sync_file_range_async) &&
         export_function(env, exports, "fadvise", fadvise_async) &&
         export_function(env, exports, "tryLockFile", try_lock_file) &&
         export_function(env, exports, "boottimeMs", boottime_ms) &&
         export_function(env, exports, "trimMemory", trim_memory);
}
