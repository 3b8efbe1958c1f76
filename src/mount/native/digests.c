/* The sha256 of each part of a buffer, on the thread pool, while the event loop does something else with the bytes. */
#include "addon.h"
#include "sha256-lanes.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct digests {
  napi_async_work work;
  napi_deferred deferred;
  napi_ref bytes_ref;
  const uint8_t *bytes;
  size_t size;
  size_t part_size;
  size_t lanes_max;
  uint8_t *sums;
  size_t sums_size;
  bool failed;
};

static void digests_free(napi_env env, struct digests *digests) {
  if (digests->bytes_ref != NULL) {
    napi_delete_reference(env, digests->bytes_ref);
  }
  if (digests->work != NULL) {
    napi_delete_async_work(env, digests->work);
  }
  free(digests->sums);
  free(digests);
}

static struct sha256_lane part_at(const struct digests *digests, size_t at) {
  size_t left = digests->size - at;
  size_t size = left < digests->part_size ? left : digests->part_size;
  return (struct sha256_lane){digests->bytes + at, size};
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct digests *digests = data;
  uint8_t *sum = digests->sums;
  struct sha256_lane parts[SHA256_LANES_MAX];
  for (size_t at = 0, taken; at < digests->size; at += taken * digests->part_size) {
    size_t count = 0;
    for (size_t next = at; next < digests->size && count < SHA256_LANES_MAX; count++) {
      parts[count] = part_at(digests, next);
      next += digests->part_size;
    }
    taken = sha256_lanes(parts, count, digests->lanes_max, sum);
    if (taken == 0) {
      if (EVP_Digest(parts[0].bytes, parts[0].size, sum, NULL, EVP_sha256(), NULL) != 1) {
        digests->failed = true;
        return;
      }
      taken = 1;
    }
    sum += taken * SHA256_BYTES;
  }
}

static void complete(napi_env env, napi_status status, void *data) {
  struct digests *digests = data;
  napi_value value;
  if (status == napi_ok && !digests->failed &&
      napi_create_buffer_copy(env, digests->sums_size, digests->sums, NULL, &value) == napi_ok) {
    napi_resolve_deferred(env, digests->deferred, value);
  } else {
    value = make_error(env, EIO, "sha256");
    if (value != NULL) {
      napi_reject_deferred(env, digests->deferred, value);
    }
  }
  digests_free(env, digests);
}

/*
 * sha256Each(bytes, partBytes, lanesMax): a promise of the sums of its parts, one behind the other; the last part may be
 * shorter. At most lanesMax are summed at once, 1 by OpenSSL. The bytes must stay what they are until then; their memory is held.
 */
static napi_value sha256_each(napi_env env, napi_callback_info info) {
  napi_value args[3], promise, name;
  size_t count = 3, size;
  int part_size, lanes_max;
  void *bytes;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_bytes(env, args[0], "bytes", &bytes, &size) ||
      !arg_int(env, args[1], "partBytes", &part_size) ||
      !arg_int(env, args[2], "lanesMax", &lanes_max)) {
    return NULL;
  }
  if (size == 0 || part_size <= 0 || lanes_max <= 0) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "sha256Each: nothing to digest");
    return NULL;
  }
  struct digests *digests = calloc(1, sizeof(*digests));
  size_t parts = (size + (size_t)part_size - 1) / (size_t)part_size;
  uint8_t *sums = calloc(parts, SHA256_BYTES);
  if (digests == NULL || sums == NULL) {
    free(digests);
    free(sums);
    throw_errno(env, ENOMEM, "sha256");
    return NULL;
  }
  digests->bytes = bytes;
  digests->size = size;
  digests->part_size = (size_t)part_size;
  digests->lanes_max = (size_t)lanes_max;
  digests->sums = sums;
  digests->sums_size = parts * SHA256_BYTES;
  if (napi_create_reference(env, args[0], 1, &digests->bytes_ref) != napi_ok ||
      napi_create_string_utf8(env, "tandemfs", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_promise(env, &digests->deferred, &promise) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, digests, &digests->work) !=
          napi_ok ||
      napi_queue_async_work(env, digests->work) != napi_ok) {
    throw_failed(env, "sha256");
    digests_free(env, digests);
    return NULL;
  }
  return promise;
}

bool export_digests(napi_env env, napi_value exports) {
  return export_function(env, exports, "sha256Each", sha256_each);
}
