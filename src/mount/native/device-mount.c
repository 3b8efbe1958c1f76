/*
 * Opening /dev/fuse, mounting and unmounting as root, and the socket over which fusermount3 hands
 * the device to an ordinary user. Every descriptor made here is close-on-exec.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static napi_value make_int(napi_env env, int number) {
  napi_value value;
  TRY(env, napi_create_int32(env, number, &value));
  return value;
}

static napi_value open_device(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    throw_errno(env, errno, "open /dev/fuse");
    return NULL;
  }
  return make_int(env, fd);
}

/* mountDevice(source, target, type, flags, data): mount(2). INIT is sent after it returned. */
static napi_value mount_device(napi_env env, napi_callback_info info) {
  napi_value args[5];
  size_t count = 5;
  char source[PATH_MAX_BYTES], target[PATH_MAX_BYTES], type[64], data[PATH_MAX_BYTES];
  int64_t flags;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_string(env, args[0], "source", source, sizeof(source)) ||
      !arg_string(env, args[1], "target", target, sizeof(target)) ||
      !arg_string(env, args[2], "type", type, sizeof(type)) ||
      !arg_int64(env, args[3], "flags", &flags) ||
      !arg_string(env, args[4], "data", data, sizeof(data))) {
    return NULL;
  }
  if (mount(source, target, type, (unsigned long)flags, data) != 0) {
    int err = errno;
    char attempt[ATTEMPT_MAX];
    snprintf(attempt, sizeof(attempt), "mount %.200s", target);
    throw_errno(env, err, attempt);
  }
  return NULL;
}

static int run_unmount(struct async_call *call) {
  return umount2(call->data, call->flags) == 0 ? 0 : errno;
}

/* unmountPath(target, flags): umount2(2) off the loop, because it may wait for our own answers. */
static napi_value unmount_path(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t count = 2;
  char target[PATH_MAX_BYTES], attempt[ATTEMPT_MAX];
  int flags;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_string(env, args[0], "target", target, sizeof(target)) ||
      !arg_int(env, args[1], "flags", &flags)) {
    return NULL;
  }
  snprintf(attempt, sizeof(attempt), "umount2 %.200s", target);
  struct async_call *call = async_call_new(env, attempt);
  if (call == NULL) {
    return NULL;
  }
  call->run = run_unmount;
  call->flags = flags;
  call->data = strdup(target);
  if (call->data == NULL) {
    async_call_free(call);
    throw_errno(env, ENOMEM, attempt);
    return NULL;
  }
  return async_call_start(env, call);
}

/* socketPair(): two connected stream sockets, ours first; the caller closes both. */
static napi_value socket_pair(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  napi_value pair;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    throw_errno(env, errno, "socketpair");
    return NULL;
  }
  TRY(env, napi_create_array_with_length(env, 2, &pair));
  for (uint32_t i = 0; i < 2; i++) {
    TRY(env, napi_set_element(env, pair, i, make_int(env, fds[i])));
  }
  return pair;
}

/*
 * receiveDevice(socketFd): the descriptor a peer that has already finished sent over the socket,
 * made close-on-exec and non-blocking. EAGAIN when nothing was sent: it never waits.
 */
static napi_value receive_device(napi_env env, napi_callback_info info) {
  napi_value args[1];
  size_t count = 1;
  int socket_fd;
  TRY(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!arg_int(env, args[0], "socketFd", &socket_fd)) {
    return NULL;
  }
  char byte;
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &part,
      .msg_iovlen = 1,
      .msg_control = control.space,
      .msg_controllen = sizeof(control.space),
  };
  ssize_t got;
  do {
    got = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    throw_errno(env, got < 0 ? errno : ENOMSG, "receive /dev/fuse");
    return NULL;
  }
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    int err = errno;
    close(fd);
    throw_errno(env, err, "fcntl /dev/fuse");
    return NULL;
  }
  return make_int(env, fd);
}

bool export_device_mount(napi_env env, napi_value exports) {
  return export_function(env, exports, "openDevice", open_device) &&
         export_function(env, exports, "mountDevice", mount_device) &&
         export_function(env, exports, "unmountPath", unmount_path) &&
         export_function(env, exports, "socketPair", socket_pair) &&
         export_function(env, exports, "receiveDevice", receive_device);
}
