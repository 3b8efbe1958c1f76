/* One datagram to a Unix socket, which Node cannot send: what sd_notify(3) does. */
#include "addon.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * sendDatagram(path, text): never waits. A path that begins with "@" is in the abstract namespace.
 */
static napi_value send_datagram(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t count = 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char path[sizeof(address.sun_path)], text[1024], attempt[ATTEMPT_MAX];
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_string(env, args[0], "path", path, sizeof(path)) ||
      !arg_string(env, args[1], "text", text, sizeof(text))) {
    return NULL;
  }
  size_t path_size = strlen(path);
  memcpy(address.sun_path, path, path_size);
  if (path[0] == '@') {
    address.sun_path[0] = 0;
  }
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_size);
  int err = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    err = errno;
  } else {
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0) {
      err = errno;
    }
    close(fd);
  }
  if (err != 0) {
    snprintf(attempt, sizeof(attempt), "send to %.100s", path);
    throw_errno(env, err, attempt);
  }
  return NULL;
}

bool export_datagram(napi_env env, napi_value exports) {
  return export_function(env, exports, "sendDatagram", send_datagram);
}
