/*
 * One message of libsodium's crypto_secretstream_xchacha20poly1305, sealed and opened by the ChaCha20 and
 * Poly1305 of Node's OpenSSL, which has them for the wide registers of newer processors. The same state, the same bytes;
 * what needs new keys (a counter that overflows, a tag) is left to libsodium.
 *
 * For message number n of a key: block 0 of the ChaCha20 stream is the Poly1305 key, block 1 covers the tag,
 * the blocks behind it the message; the sum is over block 1, the sealed message, zeros and both lengths.
 */
#include "addon.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define KEY_BYTES 32
#define COUNTER_BYTES 4
#define NONCE_BYTES 12
#define STATE_BYTES 52
#define BLOCK_BYTES 64
#define MAC_BYTES 16
#define TAG_BYTES 1
#define SEAL_BYTES (TAG_BYTES + MAC_BYTES)
#define PARTS_MAX 8

enum outcome { DONE = 0, FORGED = 1, LEFT = 2, FAILED = 3 };

struct ciphers {
  EVP_CIPHER_CTX *chacha;
  EVP_MAC *algorithm;
  EVP_MAC_CTX *poly;
};

static void ciphers_free(struct ciphers *ciphers) {
  EVP_MAC_CTX_free(ciphers->poly);
  EVP_MAC_free(ciphers->algorithm);
  EVP_CIPHER_CTX_free(ciphers->chacha);
}

/* Begins the stream of the state's next message; its block 0 becomes the key of the sum. */
static bool ciphers_begin(struct ciphers *ciphers, const uint8_t *state) {
  static const uint8_t zeros[BLOCK_BYTES];
  uint8_t iv[16] = {0};
  uint8_t block[BLOCK_BYTES];
  int size;
  memcpy(iv + 4, state + KEY_BYTES, NONCE_BYTES);
  ciphers->chacha = EVP_CIPHER_CTX_new();
  ciphers->algorithm = EVP_MAC_fetch(NULL, "POLY1305", NULL);
  ciphers->poly = ciphers->algorithm == NULL ? NULL : EVP_MAC_CTX_new(ciphers->algorithm);
  bool begun = ciphers->chacha != NULL && ciphers->poly != NULL &&
               EVP_EncryptInit_ex(ciphers->chacha, EVP_chacha20(), NULL, state, iv) == 1 &&
               EVP_EncryptUpdate(ciphers->chacha, block, &size, zeros, BLOCK_BYTES) == 1 &&
               EVP_MAC_init(ciphers->poly, block, KEY_BYTES, NULL) == 1;
  OPENSSL_cleanse(block, sizeof(block));
  return begun;
}

static void put_u64(uint8_t *out, uint64_t value) {
  for (int i = 0; i < 8; i++) {
    out[i] = (uint8_t)(value >> (8 * i));
  }
}

/*
 * The sum of the sealed tag (byte 0 of `block`) and of the sealed message. OpenSSL takes 128 bytes at a time when all that
 * it is given is a multiple of that, else 64, which costs a third more.
 */
static bool sum(struct ciphers *ciphers, const uint8_t *block, const uint8_t *sealed, size_t size,
                uint8_t *mac) {
  uint8_t end[16 + 16] = {0};
  size_t zeros = size & 15, even = size & ~(size_t)127, written;
  put_u64(end + zeros, 0);
  put_u64(end + zeros + 8, BLOCK_BYTES + size);
  return EVP_MAC_update(ciphers->poly, block, BLOCK_BYTES) == 1 &&
         EVP_MAC_update(ciphers->poly, sealed, even) == 1 &&
         EVP_MAC_update(ciphers->poly, sealed + even, size - even) == 1 &&
         EVP_MAC_update(ciphers->poly, end, zeros + 16) == 1 &&
         EVP_MAC_final(ciphers->poly, mac, &written, MAC_BYTES) == 1 && written == MAC_BYTES;
}

/* The counter after this message would be 0: libsodium makes a new key then. */
static bool is_last(const uint8_t *state) {
  static const uint8_t last[COUNTER_BYTES] = {0xff, 0xff, 0xff, 0xff};
  return memcmp(state + KEY_BYTES, last, COUNTER_BYTES) == 0;
}

static void advance(uint8_t *state, const uint8_t *mac) {
  uint8_t *counter = state + KEY_BYTES;
  for (int i = 0; i < NONCE_BYTES - COUNTER_BYTES; i++) {
    counter[COUNTER_BYTES + i] ^= mac[i];
  }
  for (int i = 0; i < COUNTER_BYTES; i++) {
    if (++counter[i] != 0) {
      break;
    }
  }
}

struct part {
  const uint8_t *bytes;
  size_t size;
};

static enum outcome seal(uint8_t *state, uint8_t *sealed, const struct part *parts, size_t count) {
  struct ciphers ciphers = {0};
  uint8_t block[BLOCK_BYTES] = {0};
  int written;
  size_t size = 0;
  uint8_t *body = sealed + TAG_BYTES;
  enum outcome outcome = LEFT;
  if (ciphers_begin(&ciphers, state) &&
      EVP_EncryptUpdate(ciphers.chacha, block, &written, block, BLOCK_BYTES) == 1) {
    bool sealed_all = true;
    for (size_t i = 0; sealed_all && i < count; i++) {
      sealed_all = EVP_EncryptUpdate(ciphers.chacha, body + size, &written, parts[i].bytes,
                                     (int)parts[i].size) == 1;
      size += parts[i].size;
    }
    sealed_all = sealed_all && sum(&ciphers, block, body, size, body + size);
    outcome = sealed_all ? DONE : FAILED;
  }
  ciphers_free(&ciphers);
  if (outcome == DONE) {
    sealed[0] = block[0];
    advance(state, body + size);
  }
  return outcome;
}

static enum outcome open_sealed(uint8_t *state, uint8_t *plain, const uint8_t *sealed,
                                size_t size) {
  struct ciphers ciphers = {0};
  uint8_t block[BLOCK_BYTES] = {0}, mac[MAC_BYTES];
  int written;
  enum outcome outcome = LEFT;
  const uint8_t *body = sealed + TAG_BYTES;
  block[0] = sealed[0];
  if (ciphers_begin(&ciphers, state) &&
      EVP_EncryptUpdate(ciphers.chacha, block, &written, block, BLOCK_BYTES) == 1 &&
      block[0] == 0) {
    block[0] = sealed[0];
    if (sum(&ciphers, block, body, size, mac)) {
      outcome = CRYPTO_memcmp(mac, body + size, MAC_BYTES) == 0 ? DONE : FORGED;
    }
  }
  if (outcome == DONE &&
      EVP_EncryptUpdate(ciphers.chacha, plain, &written, body, (int)size) != 1) {
    outcome = FAILED;
  }
  ciphers_free(&ciphers);
  if (outcome == DONE) {
    advance(state, mac);
  }
  return outcome;
}

static bool arg_state(napi_env env, napi_value value, uint8_t **state) {
  void *bytes;
  size_t size;
  if (!arg_bytes(env, value, "state", &bytes, &size)) {
    return false;
  }
  if (size != STATE_BYTES) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "secret stream: no state");
    return false;
  }
  *state = bytes;
  return true;
}

static bool sizes_fit(napi_env env, size_t plain, size_t sealed) {
  if (plain == 0 || plain > INT32_MAX || sealed != plain + SEAL_BYTES) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "secret stream: sizes that do not fit");
    return false;
  }
  return true;
}

static napi_value outcome_value(napi_env env, enum outcome outcome) {
  napi_value result;
  if (outcome == FAILED) {
    napi_throw_error(env, "ERR_CRYPTO", "secret stream: OpenSSL failed");
    return NULL;
  }
  TRY(env, napi_create_int32(env, outcome, &result));
  return result;
}

/*
 * streamSeal(state, sealed, part, ...): seals what the parts are together. 0, or 2 when nothing was done. Throws when
 * OpenSSL fails in the middle, the state has not changed then. A single part may be where the message lies in `sealed`.
 */
static napi_value stream_seal(napi_env env, napi_callback_info info) {
  napi_value args[2 + PARTS_MAX];
  size_t count = 2 + PARTS_MAX, sealed_size, size = 0;
  struct part parts[PARTS_MAX];
  uint8_t *state;
  void *sealed, *bytes;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 3 || count > 2 + PARTS_MAX) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "secret stream: too few or too many parts");
    return NULL;
  }
  if (!arg_state(env, args[0], &state) ||
      !arg_bytes(env, args[1], "sealed", &sealed, &sealed_size)) {
    return NULL;
  }
  for (size_t i = 0; i < count - 2; i++) {
    if (!arg_bytes(env, args[2 + i], "part", &bytes, &parts[i].size)) {
      return NULL;
    }
    parts[i].bytes = bytes;
    size += parts[i].size;
  }
  if (!sizes_fit(env, size, sealed_size)) {
    return NULL;
  }
  return outcome_value(env, is_last(state) ? LEFT : seal(state, sealed, parts, count - 2));
}

/*
 * streamOpen(state, sealed, plain): 0, 1 when the sum is not right, 2 when nothing was done; neither state nor
 * `plain` has changed then. Throws when OpenSSL fails in the middle. `plain` may be where the message lies in `sealed`.
 */
static napi_value stream_open(napi_env env, napi_callback_info info) {
  napi_value args[3];
  size_t count = 3, sealed_size, plain_size;
  uint8_t *state;
  void *sealed, *plain;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_state(env, args[0], &state) ||
      !arg_bytes(env, args[1], "sealed", &sealed, &sealed_size) ||
      !arg_bytes(env, args[2], "plain", &plain, &plain_size) ||
      !sizes_fit(env, plain_size, sealed_size)) {
    return NULL;
  }
  enum outcome outcome = is_last(state) ? LEFT : open_sealed(state, plain, sealed, plain_size);
  return outcome_value(env, outcome);
}

bool export_secret_stream(napi_env env, napi_value exports) {
  return export_function(env, exports, "streamSeal", stream_seal) &&
         export_function(env, exports, "streamOpen", stream_open);
}
