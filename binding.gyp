{
  "targets": [
    {
      "target_name": "fuse_addon",
      "sources": [
        "src/mount/native/addon.c",
        "src/mount/native/async-call.c",
        "src/mount/native/bare-inodes.c",
        "src/mount/native/checked-read.c",
        "src/mount/native/crc32.c",
        "src/mount/native/datagram.c",
        "src/mount/native/device-mount.c",
        "src/mount/native/digests.c",
        "src/mount/native/errors.c",
        "src/mount/native/lookout.c",
        "src/mount/native/message.c",
        "src/mount/native/plain-handles.c",
        "src/mount/native/reader.c",
        "src/mount/native/ready-attributes.c",
        "src/mount/native/request.c",
        "src/mount/native/secret-stream.c",
        "src/mount/native/sha256-lanes.c",
        "src/mount/native/spinner.c",
        "src/mount/native/system.c",
        "src/mount/native/timed-set.c"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"],
      "ldflags": ["-Wl,-z,now"]
    }
  ]
}
