/*
 * link DELAY_US NAMESPACE ADDRESS [NAMESPACE ADDRESS ...]: connects network namespaces by a link on
 * which each packet takes DELAY_US. Makes a device "wire" in each (its owner gives it the address),
 * prints "ready", and carries packets until its standard input ends; the devices end with it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define ENDS_MAX 8
#define PACKET_BYTES 65536
/* Packets under way; what comes when it is full is dropped, as in any queue of a network. */
#define QUEUE_MAX 4096

struct packet {
	uint64_t due_ns;
	size_t length;
	char data[PACKET_BYTES];
};

static struct packet *queue;
static unsigned first, used;
static int ends[ENDS_MAX];
static in_addr_t addresses[ENDS_MAX];
static int end_count;

static void die(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_end(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	char path[256];
	int space, end;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET) < 0)
		die(path);
	close(space);
	end = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strcpy(request.ifr_name, "wire");
	if (end < 0 || ioctl(end, TUNSETIFF, &request) < 0)
		die("/dev/net/tun");
	return end;
}

static void take_packets(int end, uint64_t delay_ns)
{
	while (used < QUEUE_MAX) {
		struct packet *packet = &queue[(first + used) % QUEUE_MAX];
		ssize_t length = read(end, packet->data, PACKET_BYTES);

		if (length <= 0)
			return;
		packet->length = (size_t)length;
		packet->due_ns = now_ns() + delay_ns;
		used++;
	}
}

static void deliver(const struct packet *packet)
{
	in_addr_t to;

	/* Only IPv4: its destination stands at byte 16. */
	if (packet->length < 20 || packet->data[0] >> 4 != 4)
		return;
	memcpy(&to, packet->data + 16, sizeof(to));
	for (int i = 0; i < end_count; i++)
		if (addresses[i] == to && write(ends[i], packet->data, packet->length) < 0 &&
		    errno != EAGAIN && errno != EIO)
			die("write");
}

static void carry(uint64_t delay_ns)
{
	struct pollfd polled[ENDS_MAX + 1];

	for (;;) {
		struct timespec wait, *limit = NULL;

		for (uint64_t now = now_ns(); used > 0 && queue[first].due_ns <= now; used--) {
			deliver(&queue[first]);
			first = (first + 1) % QUEUE_MAX;
		}
		if (used > 0) {
			uint64_t now = now_ns(), due = queue[first].due_ns;
			uint64_t left = due > now ? due - now : 0;

			wait = (struct timespec){ (time_t)(left / 1000000000), (long)(left % 1000000000) };
			limit = &wait;
		}
		for (int i = 0; i < end_count; i++)
			polled[i] = (struct pollfd){ used < QUEUE_MAX ? ends[i] : -1, POLLIN, 0 };
		polled[end_count] = (struct pollfd){ 0, POLLIN, 0 };
		if (ppoll(polled, (nfds_t)end_count + 1, limit, NULL) < 0 && errno != EINTR)
			die("poll");
		if (polled[end_count].revents != 0)
			return;
		for (int i = 0; i < end_count; i++)
			if (polled[i].revents & POLLIN)
				take_packets(ends[i], delay_ns);
	}
}

int main(int count, char **arguments)
{
	if (count < 4 || count % 2 != 0 || (count - 2) / 2 > ENDS_MAX) {
		fputs("usage: link DELAY_US NAMESPACE ADDRESS [NAMESPACE ADDRESS ...]\n", stderr);
		return 2;
	}
	queue = malloc(QUEUE_MAX * sizeof(*queue));
	if (queue == NULL)
		die("malloc");
	for (int i = 2; i < count; i += 2, end_count++) {
		ends[end_count] = open_end(arguments[i]);
		addresses[end_count] = inet_addr(arguments[i + 1]);
	}
	/* Sleeps end when they should, not up to 50 us later. */
	prctl(PR_SET_TIMERSLACK, 1);
	puts("ready");
	fflush(stdout);
	carry(strtoull(arguments[1], NULL, 10) * 1000);
	return 0;
}
