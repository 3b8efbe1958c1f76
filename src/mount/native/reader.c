/*
 * Reads requests from /dev/fuse on the event loop.
 *
 * Owns a poll handle on the descriptor, a spinner, and the one buffer the next request is read
 * into. Each request is handed to JavaScript as a byte count; the callback's answer says what the
 * next read uses: undefined = the same buffer, a Uint8Array = that one, null = stop until
 * readerResume. At most `batch` requests are handed over before the loop gets its turn; meanwhile
 * the next one is looked out for (lookout.h).
 *
 * Questions that the tables of JavaScript answer are answered here (bare-inodes.h,
 * ready-attributes.h, plain-handles.h).
 *
 * `turn` is two bytes shared with JavaScript: whether requests are being handed over now, and
 * whether something is to be done when there are no more of them (onTurnEnd, always called then).
 */
#include "addon.h"
#include "bare-inodes.h"
#include "lookout.h"
#include "plain-handles.h"
#include "ready-attributes.h"
#include "spinner.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define REQUEST_MIN_BYTES 8192
/* One of so many goes to JavaScript all the same, which has to know whether there is much to do. */
#define ANSWERED_IN_A_ROW 15
/* Of what one turn of the loop may do: so many times `batch` requests that are answered here. */
#define ANSWERED_COST 1
#define DELIVERED_COST 4

enum { TURN_RUNS, TURN_WANTED, TURN_BYTES };

struct reader {
  napi_env env;
  napi_async_context context;
  napi_ref self;     /* keeps the external alive while the handles are */
  napi_ref resource; /* what the callbacks are called on */
  napi_ref on_request;
  napi_ref on_end;
  napi_ref on_turn_end;
  napi_ref turn_bytes;
  napi_ref bare_table;
  napi_ref ready_table;
  napi_ref plain_table;
  napi_ref buffer;
  napi_async_cleanup_hook_handle hook;
  uint8_t *turn;
  void *data;
  size_t size;
  int fd;
  int batch;
  int open_handles;
  bool started;
  bool polling;
  bool stopped;
  uint32_t resumes;
  uv_poll_t poll;
  struct spinner spinner;
  struct lookout lookout;
  struct timed_set bare;
  struct timed_set plain;
  struct ready_attributes ready;
  double requests;
  double answered;
  int answered_in_a_row;
};

static void drop_ref(napi_env env, napi_ref *ref) {
  if (*ref != NULL) {
    napi_delete_reference(env, *ref);
    *ref = NULL;
  }
}

static void handle_closed(uv_handle_t *handle) {
  struct reader *reader = handle->data;
  if (--reader->open_handles > 0) {
    return;
  }
  napi_env env = reader->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) == napi_ok) {
    drop_ref(env, &reader->on_request);
    drop_ref(env, &reader->on_end);
    drop_ref(env, &reader->on_turn_end);
    drop_ref(env, &reader->turn_bytes);
    drop_ref(env, &reader->bare_table);
    drop_ref(env, &reader->ready_table);
    drop_ref(env, &reader->plain_table);
    drop_ref(env, &reader->buffer);
    drop_ref(env, &reader->resource);
    if (reader->context != NULL) {
      napi_async_destroy(env, reader->context);
      reader->context = NULL;
    }
    napi_close_handle_scope(env, scope);
  }
  if (reader->hook != NULL) {
    napi_remove_async_cleanup_hook(reader->hook);
    reader->hook = NULL;
  }
  drop_ref(env, &reader->self); /* the finalizer may free the reader from here on */
}

static void stop_reading(struct reader *reader) {
  if (reader->stopped || !reader->started) {
    reader->stopped = true;
    return;
  }
  reader->stopped = true;
  reader->polling = false;
  uv_close((uv_handle_t *)&reader->poll, handle_closed);
  uv_close((uv_handle_t *)&reader->spinner.idle, handle_closed);
}

static void environment_ends(napi_async_cleanup_hook_handle hook, void *data) {
  struct reader *reader = data;
  (void)hook; /* removed in handle_closed: that is what tells the environment to go on */
  stop_reading(reader);
}

/* Calls back with a handle scope; an exception becomes an uncaught one, NULL is returned then. */
static napi_value call_back(struct reader *reader, napi_ref ref, napi_value argument) {
  napi_env env = reader->env;
  napi_value function, resource, result = NULL, exception;
  if (napi_get_reference_value(env, ref, &function) != napi_ok ||
      napi_get_reference_value(env, reader->resource, &resource) != napi_ok) {
    return NULL;
  }
  if (napi_make_callback(env, reader->context, resource, function, 1, &argument, &result) ==
      napi_ok) {
    return result;
  }
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
  return NULL;
}

/* Reading is over: 0 = unmounted, else why. Nothing is called after it. */
static void end_reading(struct reader *reader, int err) {
  if (reader->stopped) {
    return;
  }
  napi_handle_scope scope;
  napi_value number;
  stop_reading(reader);
  if (napi_open_handle_scope(reader->env, &scope) != napi_ok) {
    return;
  }
  if (napi_create_int32(reader->env, err, &number) == napi_ok) {
    call_back(reader, reader->on_end, number);
  }
  napi_close_handle_scope(reader->env, scope);
}

static bool take_buffer(struct reader *reader, napi_value value) {
  void *data;
  size_t size;
  napi_ref ref;
  if (!arg_bytes(reader->env, value, "buffer", &data, &size)) {
    return false;
  }
  if (size < REQUEST_MIN_BYTES) {
    napi_throw_range_error(reader->env, "ERR_OUT_OF_RANGE", "buffer must hold 8192 bytes or more");
    return false;
  }
  if (napi_create_reference(reader->env, value, 1, &ref) != napi_ok) {
    throw_failed(reader->env, "readerResume");
    return false;
  }
  drop_ref(reader->env, &reader->buffer);
  reader->buffer = ref;
  reader->data = data;
  reader->size = size;
  return true;
}

static void pause_reading(struct reader *reader) {
  uv_poll_stop(&reader->poll);
  reader->polling = false;
}

/* Hands one request over and does what the answer says; false when reading is not to go on. */
static bool deliver(struct reader *reader, size_t size) {
  napi_env env = reader->env;
  napi_handle_scope scope;
  napi_value number, next;
  napi_valuetype type = napi_undefined;
  bool go_on = false;
  uint32_t resumes = reader->resumes;
  if (napi_open_handle_scope(env, &scope) != napi_ok) {
    end_reading(reader, ENOMEM);
    return false;
  }
  reader->requests += 1;
  if (napi_create_uint32(env, (uint32_t)size, &number) == napi_ok) {
    next = call_back(reader, reader->on_request, number);
    if (reader->stopped) {
      go_on = false;
    } else if (next == NULL || napi_typeof(env, next, &type) != napi_ok) {
      end_reading(reader, EPROTO); /* the receiver threw: its buffer state is unknown */
    } else if (type == napi_null) {
      /* Microtasks run before the callback is over: room may have come back since it answered. */
      go_on = reader->resumes != resumes;
      if (!go_on) {
        pause_reading(reader);
      }
    } else if (type == napi_undefined) {
      go_on = true;
    } else {
      go_on = take_buffer(reader, next);
      if (!go_on) {
        napi_value exception;
        if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
          napi_fatal_exception(env, exception);
        }
        end_reading(reader, EPROTO);
      }
    }
  }
  napi_close_handle_scope(env, scope);
  return go_on;
}

/* What was put off until the requests at hand were all handed over. */
static void end_turn(struct reader *reader) {
  napi_handle_scope scope;
  napi_value nothing;
  reader->turn[TURN_WANTED] = 0;
  if (napi_open_handle_scope(reader->env, &scope) != napi_ok) {
    return;
  }
  if (napi_get_undefined(reader->env, &nothing) == napi_ok) {
    call_back(reader, reader->on_turn_end, nothing);
  }
  napi_close_handle_scope(reader->env, scope);
}

/* Answers the request that was read, if that needs no JavaScript. */
static bool answer_at_once(struct reader *reader, size_t size) {
  if (reader->answered_in_a_row >= ANSWERED_IN_A_ROW ||
      !(bare_inodes_answer(&reader->bare, reader->fd, reader->data, size) ||
        ready_attributes_answer(&reader->ready, reader->fd, reader->data, size) ||
        plain_handles_answer(&reader->plain, reader->fd, reader->data, size))) {
    reader->answered_in_a_row = 0;
    return false;
  }
  reader->answered_in_a_row++;
  reader->answered += 1;
  return true;
}

/* Reads until there is nothing, `batch` is full, or reading is not to go on; whether any came. */
static bool read_batch(struct reader *reader) {
  bool any = false;
  for (int left = reader->batch * DELIVERED_COST; left > 0; left -= ANSWERED_COST) {
    ssize_t got = any && reader->turn[TURN_WANTED] == 0
                      ? lookout_read(&reader->lookout, reader->fd, reader->data, reader->size)
                      : read(reader->fd, reader->data, reader->size);
    if (got > 0) {
      if (!any) {
        spinner_before_batch(&reader->spinner);
        lookout_before_batch(&reader->lookout);
      }
      any = true;
      if (!answer_at_once(reader, (size_t)got)) {
        left -= DELIVERED_COST - ANSWERED_COST;
        if (!deliver(reader, (size_t)got)) {
          break;
        }
      }
    } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (reader->turn[TURN_WANTED] == 0) {
        break;
      }
      end_turn(reader); /* answers, after which there may be more to read */
      if (reader->stopped || !reader->polling) {
        break;
      }
    } else if (got < 0 && (errno == EINTR || errno == ENOENT)) {
      continue; /* ENOENT: that request was aborted while it was being read */
    } else {
      end_reading(reader, got == 0 || errno == ENODEV ? 0 : errno);
      break;
    }
  }
  return any;
}

static void on_readable(uv_poll_t *handle, int status, int events) {
  struct reader *reader = handle->data;
  (void)events;
  reader->turn[TURN_RUNS] = 1;
  bool any = read_batch(reader);
  reader->turn[TURN_RUNS] = 0;
  if (reader->turn[TURN_WANTED] != 0) {
    end_turn(reader);
  }
  if (reader->stopped) {
    return;
  }
  if (any) {
    lookout_after_batch(&reader->lookout);
    spinner_after_batch(&reader->spinner, reader->polling);
  }
  if (status < 0 && reader->polling) {
    /* libuv stopped polling because of EPOLLERR, and the read did not say why. */
    int err = uv_poll_start(&reader->poll, UV_READABLE, on_readable);
    if (err != 0) {
      end_reading(reader, -err);
    }
  }
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static struct reader *arg_reader(napi_env env, napi_value value) {
  void *data = NULL;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "reader must come from readerCreate");
    return NULL;
  }
  return data;
}

static bool take_callbacks(napi_env env, struct reader *reader, const napi_value *callbacks) {
  napi_value resource, name;
  return napi_create_object(env, &resource) == napi_ok &&
         napi_create_string_utf8(env, "tandemfs:reader", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env, resource, name, &reader->context) == napi_ok &&
         napi_create_reference(env, resource, 1, &reader->resource) == napi_ok &&
         napi_create_reference(env, callbacks[0], 1, &reader->on_request) == napi_ok &&
         napi_create_reference(env, callbacks[1], 1, &reader->on_end) == napi_ok &&
         napi_create_reference(env, callbacks[2], 1, &reader->on_turn_end) == napi_ok;
}

static bool open_handles(napi_env env, struct reader *reader, int spin_us, int look_us) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throw_failed(env, "readerCreate");
    return false;
  }
  int err = uv_poll_init(loop, &reader->poll, reader->fd);
  if (err != 0) {
    throw_errno(env, -err, "poll /dev/fuse");
    return false;
  }
  spinner_init(&reader->spinner, loop, spin_us);
  lookout_init(&reader->lookout, look_us);
  reader->poll.data = reader;
  reader->spinner.idle.data = reader;
  reader->open_handles = 2;
  reader->started = true;
  return true;
}

/*
 * readerCreate(fd, batch, spinUs, lookUs, turn, bare, ready, plain, onRequest(size), onEnd(errno),
 * onTurnEnd()): not reading before resume.
 */
static napi_value reader_create(napi_env env, napi_callback_info info) {
  napi_value args[11], external;
  size_t count = 11, turn_size, bare_size, ready_size, plain_size;
  int fd, batch, spin_us, look_us;
  void *turn, *bare, *ready, *plain;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_int(env, args[0], "fd", &fd) || !arg_int(env, args[1], "batch", &batch) ||
      !arg_int(env, args[2], "spinUs", &spin_us) ||
      !arg_int(env, args[3], "lookUs", &look_us) ||
      !arg_bytes(env, args[4], "turn", &turn, &turn_size) ||
      !arg_bytes(env, args[5], "bare", &bare, &bare_size) ||
      !arg_bytes(env, args[6], "ready", &ready, &ready_size) ||
      !arg_bytes(env, args[7], "plain", &plain, &plain_size)) {
    return NULL;
  }
  if (turn_size != TURN_BYTES) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "turn must be 2 bytes");
    return NULL;
  }
  if (fd < 0 || batch < 1 || batch > 1024 || spin_us < 0 || spin_us > 10000 ||
      look_us < 0 || look_us > 10000) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE",
                           "fd, batch (1-1024), spinUs or lookUs (0-10000)");
    return NULL;
  }
  struct reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) {
    throw_errno(env, ENOMEM, "readerCreate");
    return NULL;
  }
  reader->env = env;
  reader->fd = fd;
  reader->batch = batch;
  reader->turn = turn;
  if (!timed_set_init(&reader->bare, bare, bare_size) ||
      !timed_set_init(&reader->plain, plain, plain_size) ||
      !ready_attributes_init(&reader->ready, ready, ready_size)) {
    free(reader);
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a table must be a double and 2^n slots");
    return NULL;
  }
  if (napi_create_external(env, reader, finalize, NULL, &external) != napi_ok) {
    free(reader);
    throw_failed(env, "readerCreate");
    return NULL;
  }
  if (!take_callbacks(env, reader, args + 8) ||
      napi_create_reference(env, args[4], 1, &reader->turn_bytes) != napi_ok ||
      napi_create_reference(env, args[5], 1, &reader->bare_table) != napi_ok ||
      napi_create_reference(env, args[6], 1, &reader->ready_table) != napi_ok ||
      napi_create_reference(env, args[7], 1, &reader->plain_table) != napi_ok) {
    throw_failed(env, "readerCreate");
    return NULL;
  }
  if (!open_handles(env, reader, spin_us, look_us)) {
    return NULL;
  }
  if (napi_create_reference(env, external, 1, &reader->self) != napi_ok ||
      napi_add_async_cleanup_hook(env, environment_ends, reader, &reader->hook) != napi_ok) {
    throw_failed(env, "readerCreate");
    stop_reading(reader);
    return NULL;
  }
  return external;
}

/* readerResume(reader, buffer): reads into `buffer` from the next turn of the loop on. */
static napi_value reader_resume(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t count = 2;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  struct reader *reader = arg_reader(env, args[0]);
  if (reader == NULL || reader->stopped || !take_buffer(reader, args[1])) {
    return NULL;
  }
  int err = uv_poll_start(&reader->poll, UV_READABLE, on_readable);
  if (err != 0) {
    throw_errno(env, -err, "poll /dev/fuse");
    return NULL;
  }
  reader->polling = true;
  reader->resumes++;
  return NULL;
}

/* readerStop(reader): no callback runs after it; the descriptor stays the caller's to close. */
static napi_value reader_stop(napi_env env, napi_callback_info info) {
  napi_value args[1];
  size_t count = 1;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  struct reader *reader = arg_reader(env, args[0]);
  if (reader != NULL) {
    stop_reading(reader);
  }
  return NULL;
}

static bool set_number(napi_env env, napi_value object, const char *name, double number) {
  napi_value value;
  return napi_create_double(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

/* readerStatistics(reader): counts since the start. */
static napi_value reader_statistics(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  size_t count = 1;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  struct reader *reader = arg_reader(env, args[0]);
  if (reader == NULL) {
    return NULL;
  }
  TRY(env, napi_create_object(env, &result));
  if (!set_number(env, result, "requests", reader->requests) ||
      !set_number(env, result, "answered", reader->answered) ||
      !set_number(env, result, "spinHits", reader->spinner.hits) ||
      !set_number(env, result, "spinMisses", reader->spinner.misses) ||
      !set_number(env, result, "lookoutHits", reader->lookout.hits) ||
      !set_number(env, result, "lookoutMisses", reader->lookout.misses) ||
      !set_number(env, result, "pressurePauses", reader->spinner.pressure_pauses)) {
    throw_failed(env, "readerStatistics");
    return NULL;
  }
  return result;
}

bool export_reader(napi_env env, napi_value exports) {
  return export_function(env, exports, "readerCreate", reader_create) &&
         export_function(env, exports, "readerResume", reader_resume) &&
         export_function(env, exports, "readerStop", reader_stop) &&
         export_function(env, exports, "readerStatistics", reader_statistics);
}
