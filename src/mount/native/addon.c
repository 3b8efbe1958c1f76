/* Registers the addon's functions; their TypeScript face is src/mount/channel/load-addon.ts. */
#include "addon.h"

bool export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!export_checked_read(env, exports) || !export_datagram(env, exports) ||
      !export_device_mount(env, exports) || !export_digests(env, exports) ||
      !export_message(env, exports) ||
      !export_reader(env, exports) || !export_secret_stream(env, exports) ||
      !export_system(env, exports)) {
    throw_failed(env, "fuse_addon: registration");
    return NULL;
  }
  return exports;
}
