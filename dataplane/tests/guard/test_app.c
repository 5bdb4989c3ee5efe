// SPDX-License-Identifier: Apache-2.0
/* Applications behind each guard that works here: test_app GUARD PROBE... with the paths of app_probe */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "core/app.h"
#include "tests/guard/probe.h"

enum { MEMORY_BYTES = 32 << 20, MEMORY_MANY_BYTES = 128 << 20, OUTPUT_MAX = 4096, PAUSE_US = 20000 };

static const struct rb_guard_ops *guard;
static const char *probe_path;

static __thread int thread_calls;
static int dataplane_fd;

/* An application that runs, and what it asked the control thread for. */
struct world {
	struct rb_region region;
	struct rb_app *app;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended, kill_soon;
	int signal_soon;
	int threads_ended;
	uint64_t fs; /* of the thread that has called last */
};

static uint64_t get_fs(void)
{
	uint64_t fs = 0;
	syscall(SYS_arch_prctl, 0x1003, &fs);
	return fs;
}

/* ---- calls of the gate ---- */

static int64_t nest(struct rb_app_thread *thread)
{
	const struct rb_guard_call *call;
	int64_t result = 0, calls = 0;
	while ((call = guard->enter(rb_app_guard_thread(thread), result)) != NULL) {
		if (call->number == PROBE_UNNEST)
			return calls;
		result = ++calls;
	}
	return 0;
}

static void block(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	while (!world->ended)
		pthread_cond_wait(&world->changed, &world->lock);
	pthread_mutex_unlock(&world->lock);
}

static void ask(struct world *world, int signo)
{
	pthread_mutex_lock(&world->lock);
	world->signal_soon = signo;
	world->kill_soon = signo == 0;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

static int64_t set_errno(int value)
{
	int before = errno;
	errno = value;
	return before;
}

static int64_t set_rounding(int mode)
{
	int before = fegetround();
	fesetround(mode);
	return before;
}

static int64_t on_gate(void *user, struct rb_app_thread *thread, const struct rb_guard_call *call)
{
	struct world *world = user;
	struct rb_app *app = rb_app_of(thread);
	const uint64_t *argument = call->argument;
	switch ((enum probe_call)call->number) {
	case PROBE_ADD:
		return (int64_t)(argument[0] + argument[1] + argument[2]);
	case PROBE_NEST:
		/* the first return to the application is the answer to this call */
		return nest(thread);
	case PROBE_THREAD:
		return ++thread_calls;
	case PROBE_ERRNO:
		return set_errno((int)argument[0]);
	case PROBE_ROUNDING:
		return set_rounding((int)argument[0]);
	case PROBE_BLOCK:
		block(world);
		return 0;
	case PROBE_SIGNAL:
		return rb_app_signal(app, (int)argument[0]);
	case PROBE_SIGNAL_SOON:
		ask(world, (int)argument[0]);
		return 0;
	case PROBE_KILL_SOON:
		ask(world, 0);
		return 0;
	case PROBE_RANGE:
		return rb_app_range_ok(app, argument[0], argument[1]);
	case PROBE_HOLD:
		return rb_app_hold(app, argument[0], argument[1]);
	case PROBE_RELEASE:
		rb_app_release(app, argument[0], argument[1]);
		return 0;
	case PROBE_FD:
		return dataplane_fd;
	case PROBE_UNNEST:
		break;
	}
	return -ENOSYS;
}

static void on_thread_ended(void *user, struct rb_app_thread *thread)
{
	struct world *world = user;
	pthread_mutex_lock(&world->lock);
	world->threads_ended++;
	pthread_mutex_unlock(&world->lock);
	(void)thread;
}

static void on_ended(void *user)
{
	struct world *world = user;
	pthread_mutex_lock(&world->lock);
	assert_false(world->ended);
	world->ended = true;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

/* ---- running ---- */

/* `bytes` of memory: those for many threads have a stack of 1 MiB for each. */
static void open_world(struct world *world, const char *probe, uint64_t bytes, enum rb_region_pages pages)
{
	char why[RB_WHY_MAX] = "";
	const char *const argv[] = {"probe", probe, "an argument", "", NULL};
	const char *const envp[] = {"PROBE=yes", NULL};
	*world = (struct world){0};
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->changed, NULL);
	if (rb_region_create(&world->region, bytes, pages, why) != 0)
		fail_msg("%s", why);
	const struct rb_app_config config = {
		.guard = guard,
		.region = &world->region,
		.path = probe_path,
		.argv = argv,
		.envp = envp,
		.page = {.cores = 3, .stack = "test"},
		.gate = on_gate,
		.thread_ended = on_thread_ended,
		.ended = on_ended,
		.user = world,
	};
	if (rb_app_create(&config, &world->app, why) != 0)
		fail_msg("%s", why);
}

static void close_world(struct world *world)
{
	rb_app_destroy(world->app);
	rb_region_destroy(&world->region);
	pthread_cond_destroy(&world->changed);
	pthread_mutex_destroy(&world->lock);
}

/* What dpos' control thread does: waits for requests and the end. */
static int control(struct world *world)
{
	pthread_mutex_lock(&world->lock);
	while (!world->ended) {
		int signo = world->signal_soon;
		bool kill_soon = world->kill_soon;
		world->signal_soon = 0;
		world->kill_soon = false;
		pthread_mutex_unlock(&world->lock);
		usleep(signo != 0 || kill_soon ? PAUSE_US : 0);
		if (signo != 0)
			rb_app_signal(world->app, signo);
		if (kill_soon)
			rb_app_kill(world->app);
		pthread_mutex_lock(&world->lock);
		if (!world->ended && world->signal_soon == 0 && !world->kill_soon)
			pthread_cond_wait(&world->changed, &world->lock);
	}
	pthread_mutex_unlock(&world->lock);
	return rb_app_wait(world->app);
}

static int run_in(const char *probe, uint64_t bytes)
{
	struct world world;
	uint64_t fs = get_fs();
	open_world(&world, probe, bytes, RB_REGION_PLAIN);
	assert_int_equal(rb_app_start(world.app), 0);
	int status = control(&world);
	assert_true(world.threads_ended > 0);
	close_world(&world);
	assert_int_equal(get_fs(), fs);
	return status;
}

static int run(const char *probe)
{
	return run_in(probe, MEMORY_BYTES);
}

/* Runs it with standard output or error going to `text`, of OUTPUT_MAX bytes. */
static int run_captured(const char *probe, int stream, char *text)
{
	FILE *file = tmpfile();
	int kept = dup(stream);
	assert_non_null(file);
	fflush(NULL);
	dup2(fileno(file), stream);
	int status = run(probe);
	dup2(kept, stream);
	close(kept);
	assert_int_equal(fseek(file, 0, SEEK_SET), 0);
	text[fread(text, 1, OUTPUT_MAX - 1, file)] = '\0';
	fclose(file);
	return status;
}

/* ---- tests ---- */

static void check_probes(const char *const *probes)
{
	for (; *probes != NULL; probes++) {
		int status = run(*probes);
		if (status != 0)
			fail_msg("probe %s: status %d", *probes, status);
	}
}

static void test_crossings(void **state)
{
	static const char *const probes[] = {"registers", "results", "nested", "rounding", "errors", "start", NULL};
	(void)state;
	check_probes(probes);
}

static void test_memory(void **state)
{
	static const char *const probes[] = {"maps",  "outside",   "protections", "moves", "heap",
					     "holds", "file_maps", "limits",	  NULL};
	(void)state;
	check_probes(probes);
}

static void test_calls(void **state)
{
	static const char *const probes[] = {"refused", "pointers",    "descriptors", "files",
					     "names",	"own_threads", "signals",     NULL};
	(void)state;
	check_probes(probes);
}

static void test_threads(void **state)
{
	static const char *const probes[] = {"meetings", "detached", "leader_first", NULL};
	(void)state;
	check_probes(probes);
	assert_int_equal(run_in("join", MEMORY_MANY_BYTES), 0);
	assert_int_equal(run("leader_raw"), 9);
}

static void test_ends_with_busy_threads(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(run("end_all"), 7);
		assert_int_equal(run("kill_all"), 128 + SIGKILL);
	}
}

static void test_output(void **state)
{
	(void)state;
	char text[OUTPUT_MAX];
	assert_int_equal(run_captured("print", STDOUT_FILENO, text), 0);
	assert_string_equal(text, "a line to a pipe, 42\n");
	assert_int_equal(run_captured("no such probe", STDERR_FILENO, text), 2);
	assert_string_equal(text, "no such probe: no probe of that name\n");
}

static void test_ends(void **state)
{
	static const struct {
		const char *probe;
		int status;
		const char *text[2]; /* in what is said about it */
	} ends[] = {
		{"return_status", 42, {"", ""}},
		{"end_by_abort", 128 + SIGABRT, {"ended by signal 6, SIGABRT", ""}},
		{"end_by_signal", 128 + SIGTERM, {"ended by signal 15, SIGTERM", ""}},
		{"write_null", 128 + SIGSEGV, {"SIGSEGV: address 0x0,", "(write_null+0x"}},
		{"call_null", 128 + SIGSEGV, {"SIGSEGV: address 0x0, instruction 0x0", ""}},
		{"write_text", 128 + SIGSEGV, {"SIGSEGV: address 0x2000", "(write_text+0x"}},
		{"write_page", 128 + SIGSEGV, {"SIGSEGV: address 0x2000000000", "(write_page+0x"}},
		{"illegal", 128 + SIGILL, {"SIGILL", "(illegal"}},
		{"divide", 128 + SIGFPE, {"SIGFPE", "(divide+0x"}},
		{"trap", 128 + SIGTRAP, {"SIGTRAP", "(trap+0x"}},
		{"stack_overflow", 128 + SIGSEGV, {"SIGSEGV", "(overflow+0x"}},
		{"gate_without_stack", 128 + SIGSEGV, {"SIGSEGV: address 0x1ff8", ""}},
	};
	char text[OUTPUT_MAX];
	(void)state;
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		int status = run_captured(ends[i].probe, STDERR_FILENO, text);
		if (status != ends[i].status || strstr(text, ends[i].text[0]) == NULL ||
		    strstr(text, ends[i].text[1]) == NULL)
			fail_msg("%s: status %d: %s", ends[i].probe, status, text);
	}
}

static uint64_t calls_of(const struct rb_app *app, const char *wanted)
{
	const char *name;
	uint64_t count, sum = 0;
	for (unsigned number = 0; rb_app_call_count(app, number, &name, &count); number++)
		sum += strcmp(name, wanted) == 0 ? count : 0;
	return sum;
}

/* A signal from outside that nobody has asked for; counts of calls, which can be read at any time. */
static void test_signal_and_counts(void **state)
{
	struct world world;
	(void)state;
	open_world(&world, "kill_all", MEMORY_BYTES, RB_REGION_PLAIN);
	assert_int_equal(rb_app_start(world.app), 0);
	while (calls_of(world.app, "clone3") == 0)
		usleep(1000);
	/* Taken at once, or when pthread_create() has unblocked them. */
	rb_app_signal(world.app, SIGWINCH);
	rb_app_signal(world.app, SIGTERM);
	assert_int_equal(control(&world), 128 + SIGTERM);
	assert_true(calls_of(world.app, "execve") == 0 && calls_of(world.app, "mmap") > 0);
	close_world(&world);
}

static void expect_refusal(const char *path, const char *text)
{
	struct rb_region region;
	struct rb_app *app;
	char why[RB_WHY_MAX] = "";
	const char *const none[] = {NULL};
	assert_int_equal(rb_region_create(&region, 1, RB_REGION_PLAIN, why), 0);
	const struct rb_app_config config = {
		.guard = guard, .region = &region, .path = path, .argv = none, .envp = none};
	assert_true(rb_app_create(&config, &app, why) < 0);
	if (strstr(why, text) == NULL)
		fail_msg("%s", why);
	rb_region_destroy(&region);
}

static void test_refusals(void **state)
{
	(void)state;
	expect_refusal("/no/such/file", "/no/such/file: cannot read it: No such file or directory");
	expect_refusal("/dev/null", "cannot read it: Permission denied");
	expect_refusal("/proc/self/cmdline", "not an ELF file");
	expect_refusal(probe_path, "do not fit in the application's memory of 4 KiB");
}

/* With pages of 2 MiB, where there are some. */
static void test_huge_pages(void **state)
{
	struct rb_region region;
	char why[RB_WHY_MAX] = "";
	(void)state;
	int result = rb_region_create(&region, MEMORY_BYTES, RB_REGION_HUGE, why);
	if (result != 0) {
		assert_int_equal(result, -ENOMEM);
		assert_non_null(strstr(why, "needs 16 huge pages of 2 MiB"));
		assert_non_null(strstr(why, "sysctl vm.nr_hugepages="));
		print_message("no huge pages here: %s\n", why);
		skip();
	}
	rb_region_destroy(&region);
	struct world world;
	open_world(&world, "heap", MEMORY_BYTES, RB_REGION_HUGE);
	assert_int_equal(rb_app_start(world.app), 0);
	assert_int_equal(control(&world), 0);
	close_world(&world);
}

/* Without an application: the states and the table. */
static void test_guard(void **state)
{
	(void)state;
	const char *why;
	assert_ptr_equal(rb_guard_find("none_slow"), &rb_guard_none_slow);
	assert_string_equal(rb_guard_find("none")->name + 4, rb_guard_none.probe(&why) == 0 ? "" : "_slow");
	assert_null(rb_guard_find("nonesuch"));
	assert_int_equal(guard->init(&why), 0);
	assert_int_equal(guard->init(&why), 0);
	guard->thread_destroy(NULL);
}

int main(int argc, char **argv)
{
	int failed = 0;
	const char *why;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_crossings),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_ends_with_busy_threads),
		cmocka_unit_test(test_signal_and_counts),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_huge_pages),
	};
	if (argc < 3 || (guard = rb_guard_find(argv[1])) == NULL) {
		fprintf(stderr, "usage: test_app GUARD PROBE...\n");
		return 2;
	}
	if (guard->probe(&why) != 0) {
		printf("skipped: guard %s: %s\n", argv[1], why);
		return 77;
	}
	dataplane_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 2; i < argc; i++) {
		probe_path = argv[i];
		failed += cmocka_run_group_tests_name(argv[i], tests, NULL, NULL);
	}
	return failed;
}
