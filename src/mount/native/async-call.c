/* One blocking system call on libuv's thread pool; the promise carries its errno. */
#include "addon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct async_call *async_call_new(napi_env env, const char *attempt) {
  struct async_call *call = calloc(1, sizeof(*call));
  if (call == NULL) {
    throw_errno(env, ENOMEM, attempt);
    return NULL;
  }
  snprintf(call->attempt, sizeof(call->attempt), "%s", attempt);
  return call;
}

void async_call_free(struct async_call *call) {
  free(call->data);
  free(call);
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct async_call *call = data;
  call->err = call->run(call);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct async_call *call = data;
  int err = status == napi_ok ? call->err : ECANCELED;
  napi_value value = NULL;
  if (err == 0) {
    if (napi_get_undefined(env, &value) == napi_ok) {
      napi_resolve_deferred(env, call->deferred, value);
    }
  } else {
    value = make_error(env, err, call->attempt);
    if (value != NULL) {
      napi_reject_deferred(env, call->deferred, value);
    }
  }
  napi_delete_async_work(env, call->work);
  async_call_free(call);
}

napi_value async_call_start(napi_env env, struct async_call *call) {
  napi_value promise, name;
  if (napi_create_string_utf8(env, "tandemfs", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_promise(env, &call->deferred, &promise) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, call, &call->work) != napi_ok) {
    throw_failed(env, call->attempt);
    async_call_free(call);
    return NULL;
  }
  if (napi_queue_async_work(env, call->work) != napi_ok) {
    throw_failed(env, call->attempt);
    napi_delete_async_work(env, call->work);
    async_call_free(call);
    return NULL;
  }
  return promise;
}
