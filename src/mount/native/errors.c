/* Errors that carry errno, and the argument checks that every exported function starts with. */
#include "addon.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

napi_value make_error(napi_env env, int err, const char *attempt) {
  char message[ATTEMPT_MAX + 128];
  const char *name = uv_err_name(-err);
  snprintf(message, sizeof(message), "%s: %s: %s", attempt, name, uv_strerror(-err));
  napi_value code, text, number, error;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) != napi_ok ||
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) != napi_ok ||
      napi_create_error(env, code, text, &error) != napi_ok ||
      napi_create_int32(env, err, &number) != napi_ok ||
      napi_set_named_property(env, error, "errno", number) != napi_ok) {
    return NULL;
  }
  return error;
}

void throw_errno(napi_env env, int err, const char *attempt) {
  napi_value error = make_error(env, err, attempt);
  if (error != NULL) {
    napi_throw(env, error);
  } else {
    throw_failed(env, attempt);
  }
}

void throw_failed(napi_env env, const char *what) {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) {
    napi_throw_error(env, "ERR_FUSE_ADDON", what);
  }
}

static bool bad_argument(napi_env env, const char *name, const char *expected) {
  char message[ATTEMPT_MAX];
  snprintf(message, sizeof(message), "%s must be %s", name, expected);
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

bool arg_int64(napi_env env, napi_value value, const char *name, int64_t *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok || number != number ||
      number < -9007199254740991.0 || number > 9007199254740991.0 ||
      number != (double)(int64_t)number) {
    return bad_argument(env, name, "a safe integer");
  }
  *out = (int64_t)number;
  return true;
}

bool arg_int(napi_env env, napi_value value, const char *name, int *out) {
  int64_t number;
  if (!arg_int64(env, value, name, &number)) {
    return false;
  }
  if (number < INT32_MIN || number > INT32_MAX) {
    return bad_argument(env, name, "a 32-bit integer");
  }
  *out = (int)number;
  return true;
}

bool arg_string(napi_env env, napi_value value, const char *name, char *out, size_t capacity) {
  size_t size;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &size) != napi_ok || size >= capacity ||
      napi_get_value_string_utf8(env, value, out, capacity, &size) != napi_ok ||
      memchr(out, 0, size) != NULL) {
    return bad_argument(env, name, "a string without NUL of acceptable length");
  }
  return true;
}

bool arg_bytes(napi_env env, napi_value value, const char *name, void **data, size_t *size) {
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, value, &type, size, data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array) {
    return bad_argument(env, name, "a Uint8Array");
  }
  return true;
}
