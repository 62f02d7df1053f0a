/* A storm of connections that are refused, at a steady pace: the load of refusals.ts, which compiles it. A peer in JavaScript would
 * need the core that the gate is measured on.
 *
 *     storm PORT PER_SEC SECONDS {tcp|http|websocket}
 *
 * Connects from 127.0.1.1 and up, says what a client of that protocol says first (tcp: nothing), and waits for the end. Who is still
 * there after two seconds was let in, and leaves. Prints one object of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 8000
#define PATIENCE_US 2000000

typedef struct { int fd, has_asked, got; uint64_t at; char head[256]; } conn;

static conn conns[MOST];
static int unused[MOST], unused_count;
static uint32_t *waits;
static size_t ended, reset, answered, closed, admitted, failed;
static int epoll;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static void leave(conn *c, size_t *how, uint64_t now) {
  /* With RST where the other side has not ended: ports in TIME_WAIT would end the storm. */
  struct linger hard = {1, 0};
  if (how == &admitted) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(c->fd);
  c->fd = -1;
  unused[unused_count++] = c - conns;
  ++*how;
  if (how != &admitted && how != &failed) waits[ended++] = now - c->at;
}

static void dial(const struct sockaddr_in *to, uint64_t now) {
  static uint32_t nth;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  if (fd < 0) { failed++; return; }
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(0x7f000101 + nth++ % 200);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(fd, (void *)&from, sizeof from) < 0 || (connect(fd, (void *)to, sizeof *to) < 0 && errno != EINPROGRESS)) { failed++; close(fd); return; }
  conn *c = &conns[unused[--unused_count]];
  *c = (conn){.fd = fd, .at = now};
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

static void on_event(conn *c, uint32_t events, const char *words, uint64_t now) {
  if (c->fd < 0) return;
  if (!c->has_asked && (events & EPOLLOUT)) {
    c->has_asked = 1;
    /* Whoever is told of an RST here is told of a FIN when it reads. */
    if (*words && send(c->fd, words, strlen(words), MSG_NOSIGNAL) < 0) return leave(c, &reset, now);
  }
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  for (;;) {
    char rest[4096];
    int room = sizeof c->head - 1 - c->got;
    ssize_t n = room > 0 ? recv(c->fd, c->head + c->got, room, 0) : recv(c->fd, rest, sizeof rest, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) { if (room > 0) c->got += n; continue; }
    int has_answer = strstr(c->head, "Retry-After: ") != 0 || strncmp(c->head, "HTTP/1.1 403", 12) == 0;
    return leave(c, has_answer ? &answered : n == 0 ? &closed : &reset, now);
  }
}

static int by_size(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return x < y ? -1 : x > y; }
static double at(double q) { return ended ? waits[(size_t)(ended * q)] / 1000.0 : 0; }

int main(int argc, char **argv) {
  if (argc != 5) return 64;
  int rate = atoi(argv[2]), seconds = atoi(argv[3]);
  const char *words = *argv[4] == 't' ? "" : *argv[4] == 'h' ? "GET / HTTP/1.1\r\nHost: storm\r\n\r\n"
    : "GET / HTTP/1.1\r\nHost: storm\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  epoll = epoll_create1(0);
  waits = malloc(sizeof *waits * ((size_t)rate * (seconds + 1) + MOST));
  for (int i = 0; i < MOST; i++) { conns[i].fd = -1; unused[unused_count++] = i; }
  uint64_t start = now_us(), end = start + seconds * 1000000ull, now = start, swept = start;
  size_t dialled = 0;
  while (now < end || (unused_count < MOST && now < end + PATIENCE_US + 1000000)) {
    if (now < end) {
      size_t due = (size_t)((double)(now - start) * rate / 1e6);
      /* What could not be dialled in time is not made up for: this would be another pace. */
      if (due > dialled + rate / 10) dialled = due - rate / 10;
      for (; dialled < due && unused_count > 0; dialled++) dial(&to, now);
    }
    struct epoll_event events[512];
    int n = epoll_wait(epoll, events, 512, 1);
    now = now_us();
    for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events, words, now);
    if (now - swept < 100000) continue;
    swept = now;
    for (int i = 0; i < MOST; i++) if (conns[i].fd >= 0 && now - conns[i].at > PATIENCE_US) leave(&conns[i], &admitted, now);
  }
  qsort(waits, ended, sizeof *waits, by_size);
  printf("{\"reset\":%zu,\"answered\":%zu,\"closed\":%zu,\"admitted\":%zu,\"failed\":%zu,\"p50\":%.2f,\"p99\":%.2f}\n", reset, answered, closed, admitted, failed, at(0.5), at(0.99));
  return 0;
}
