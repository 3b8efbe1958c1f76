/* Workloads that are programs people run: their output goes nowhere, their failure is ours. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

static void run(char *const arguments[])
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die("fork", arguments[0]);
	if (child == 0) {
		int nowhere = open("/dev/null", O_RDWR);

		dup2(nowhere, 0);
		dup2(nowhere, 1);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0)
		die("wait", arguments[0]);
	if (status != 0) {
		errno = ECHILD;
		die("failed:", arguments[0]);
	}
}

static uint64_t list(struct job *job, uint64_t i)
{
	char *arguments[] = { "ls", "-l", (char *)job->folder, NULL };

	(void)i;
	run(arguments);
	return job->bytes; /* entries */
}

static void list_once(struct job *job)
{
	list(job, 0);
}

static uint64_t clone(struct job *job, uint64_t i)
{
	char *arguments[] = { "git",	 "-c",	"advice.detachedHead=false",
			      "clone",	 "-q",	"--no-local",
			      (char *)job->source, (char *)path_of(job, 'c', i), NULL };

	run(arguments);
	return job->bytes; /* files in it */
}

const struct workload program_workloads[] = {
	{ "list_cold", NULL, list, NULL, NULL },
	{ "list", list_once, list, NULL, NULL },
	{ "clone", NULL, clone, NULL, NULL },
	{ 0 },
};
