// Interposer for power cuts (LD_PRELOAD). It journals every write to regular files below
// POWER_CUT_ROOT with the bytes that stood there before, and every successful fsync or fdatasync.
// After the processes are killed, power-cut.ts undoes what no sync had covered. kill -9 alone cannot
// show a missing fsync: the page cache survives it. While a file POWER_CUT_HOLD exists, syncs do not
// return, so that a cut meets a disk that is busy.
// LIMIT: truncation, renaming and creation count as durable at once; only contents are lost.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 65536
#define KIND_WRITE 1
#define KIND_SYNC 2

struct record {
  uint32_t magic;
  uint32_t kind;
  uint64_t time_ns;
  uint64_t ino;
  uint64_t birth_ns;
  uint64_t offset;
  uint64_t old_size;
  uint32_t old_length;
  uint32_t new_length;
};

static const char *root, *journal_dir, *hold;
static int journal = -1;
static pid_t journal_pid;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// What is known of a descriptor: its inode and whether it is below the root. Checked anew when the inode differs.
static struct { uint64_t ino; char watched; char known; } fds[FDS];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int watched(int fd, struct stat *st) {
  if (fd < 3 || fd >= FDS) return 0;
  if (!root) {
    root = getenv("POWER_CUT_ROOT");
    journal_dir = getenv("POWER_CUT_JOURNAL");
    hold = getenv("POWER_CUT_HOLD");
    if (!root || !journal_dir || !hold) { root = ""; return 0; }
  }
  if (!root[0] || fstat(fd, st) || !S_ISREG(st->st_mode)) return 0;
  if (fds[fd].known && fds[fd].ino == st->st_ino) return fds[fd].watched;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  fds[fd].watched = strncmp(path, root, strlen(root)) == 0;
  fds[fd].ino = st->st_ino;
  fds[fd].known = 1;
  return fds[fd].watched;
}

static uint64_t birth(int fd) {
  struct statx x;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &x)) return 0;
  return (uint64_t)x.stx_btime.tv_sec * 1000000000ull + x.stx_btime.tv_nsec;
}

static void put(const struct record *r, const void *old, const struct iovec *parts, int count) {
  if (journal < 0 || journal_pid != getpid()) {
    char path[4096];
    journal_pid = getpid();
    snprintf(path, sizeof path, "%s/%d", journal_dir, (int)journal_pid);
    journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (journal < 0) { dprintf(2, "power-cut: no journal at %s\n", path); _exit(97); }
  }
  struct iovec all[66];
  int n = 0;
  all[n++] = (struct iovec){(void *)r, sizeof *r};
  if (r->old_length) all[n++] = (struct iovec){(void *)old, r->old_length};
  for (int i = 0; i < count; i++) if (parts[i].iov_len) all[n++] = parts[i];
  if (syscall(SYS_writev, journal, all, n) < 0) { dprintf(2, "power-cut: journal write failed\n"); _exit(97); }
}

static void before(int fd, uint64_t offset, size_t length, const struct stat *st, struct record *r, char **old) {
  *r = (struct record){0x54554350, KIND_WRITE, now_ns(), st->st_ino, birth(fd), offset, (uint64_t)st->st_size, 0, (uint32_t)length};
  *old = NULL;
  if (offset >= (uint64_t)st->st_size) return;
  size_t have = (size_t)((uint64_t)st->st_size - offset);
  if (have > length) have = length;
  *old = malloc(have);
  ssize_t n = syscall(SYS_pread64, fd, *old, have, offset);
  if (n < 0) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int copy = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY, 0);
    if (copy >= 0) { n = syscall(SYS_pread64, copy, *old, have, offset); syscall(SYS_close, copy); }
  }
  r->old_length = n > 0 ? (uint32_t)n : 0;
}

// One write under the lock, so that the journal and the file never disagree about the order.
static ssize_t write_parts(int fd, const struct iovec *parts, int count, int64_t offset) {
  struct stat st;
  int is_watched = watched(fd, &st);
  int positional = offset >= 0;
  if (!is_watched || count > 64)
    return positional ? syscall(SYS_pwritev, fd, parts, count, offset, 0) : syscall(SYS_writev, fd, parts, count);
  pthread_mutex_lock(&lock);
  fstat(fd, &st);
  uint64_t at = positional ? (uint64_t)offset : (fcntl(fd, F_GETFL) & O_APPEND) ? (uint64_t)st.st_size : (uint64_t)lseek(fd, 0, SEEK_CUR);
  size_t length = 0;
  for (int i = 0; i < count; i++) length += parts[i].iov_len;
  struct record r;
  char *old;
  before(fd, at, length, &st, &r, &old);
  put(&r, old, parts, count);
  free(old);
  ssize_t n = positional ? syscall(SYS_pwritev, fd, parts, count, offset, 0) : syscall(SYS_writev, fd, parts, count);
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return n;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  struct iovec part = {(void *)bytes, length};
  return write_parts(fd, &part, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_parts(fd, parts, count, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  struct iovec part = {(void *)bytes, length};
  return write_parts(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  struct iovec part = {(void *)bytes, length};
  return write_parts(fd, &part, 1, offset);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return write_parts(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return write_parts(fd, parts, count, offset); }

static int synced(int fd, long number) {
  struct stat st;
  if (!watched(fd, &st)) return (int)syscall(number, fd);
  while (access(hold, F_OK) == 0) usleep(1000);
  struct record r = {0x54554350, KIND_SYNC, now_ns(), st.st_ino, birth(fd), 0, 0, 0, 0};
  int result = (int)syscall(number, fd);
  int error = errno;
  if (result == 0) {
    pthread_mutex_lock(&lock);
    put(&r, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
  }
  errno = error;
  return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
