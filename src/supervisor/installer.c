/*
 * Theory of operation. One machine, one script for its console (guest/console_script.h), one timer
 * that lets the script type and watches that something happens. A row of stages, told as they
 * begin, with the time each took when it ends:
 *
 *	booting the installer     until its shell has answered
 *	what install.sh names     until it says how it ended
 *	powering off              until the machine is gone
 *
 * Where the same was installed before there is no machine: the disk is a copy of that one
 * (installer_base.h).
 *
 * It ends when the machine is gone, whoever ended it; what it ended for is decided then, from what
 * was heard before. Nothing of an installation that was not completed stays but its console.
 */
#include "supervisor/installer.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/safe_text.h"
#include "guest/console_script.h"
#include "guest/nixos.h"
#include "project/live.h"
#include "supervisor/installer_base.h"
#include "supervisor/installer_files.h"
#include "supervisor/ram.h"
#include "vm/kvm_probe.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUEST_NAME    "nixos"
#define CONSOLE_PARAM "console=ttyS0,115200 panic=-1"
#define LOG_CAP	      ((off_t)1 << 20)
#define MEMORY_WANTED ((uint64_t)4 << 30) /* it evaluates, and its store is in memory */
#define MEMORY_UNIT   ((uint64_t)2 << 20)
#define TICK_MS	      500
#define SILENCE_MS    900000  /* a large download says nothing */
#define BOOT_MS	      1200000 /* however much it says: nobody logged in */
#define POWER_OFF_MS  60000
#define CANCELLED     130

struct installer {
	uv_loop_t loop;
	uv_timer_t tick;
	uv_signal_t signals[3];
	struct project project;
	struct settings settings;
	struct installer_files files;
	struct console_script script;
	struct vm *vm;
	int agent_peer, share_peer; /* ports that nobody in the installer knows */
	int data_dir;
	enum vm_accel accel;
	uint64_t silence_ms; /* that is too long */
	uint64_t began_ms;   /* the machine */
	uint64_t stage_ms;   /* the stage */
	uint64_t ended_ms;   /* when the script was done; 0: it is not */
	char *stage;
	unsigned steps; /* of the script that were told */
	bool gone;
	bool early;	  /* the machine, before it can have run */
	bool panicked;	  /* before anything was typed */
	bool tried_again; /* it was started anew for that */
	bool cancelled;
	struct err failure; /* the first */
};

/* -- what people hear -- */

static void say(const char *word, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(const char *word, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	auto_free char *text = xvasprintf(format, ap);
	va_end(ap);
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);
	(void)printf("%s %s\n", word, safe);
	(void)fflush(stdout);
	log_info("install", "%s %s", word, text);
}

static uint64_t now_ms(struct installer *in)
{
	uv_update_time(&in->loop);
	return uv_now(&in->loop);
}

static void end_stage(struct installer *in)
{
	if (in->stage)
		say("note", "%s: %.1f s", in->stage, (double)(now_ms(in) - in->stage_ms) / 1000.0);
	free(take_ptr(&in->stage));
}

static void begin_stage(struct installer *in, const char *text)
{
	end_stage(in);
	in->stage = xstrdup(text);
	in->stage_ms = now_ms(in);
	say("stage", "%s", text);
}

/* Keeps the first reason, with the stage it happened in, and ends the machine. */
static void fail(struct installer *in, const char *format, ...) PRINTF_LIKE(2, 3);
static void fail(struct installer *in, const char *format, ...)
{
	va_list ap;

	if (in->failure.code != ERR_NONE)
		return;
	va_start(ap, format);
	auto_free char *why = xvasprintf(format, ap);
	va_end(ap);
	(void)err_set(&in->failure, ERR_GUEST, "%s: %s", in->stage ? in->stage : "install", why);
	if (in->vm)
		in->vm->ops->kill(in->vm);
}

/* The end of the console says more than we can. */
static void show_console(const struct installer *in)
{
	const char *line;

	if (console_script_line(&in->script, 0))
		say("note", "the last lines of the installer's console:");
	else
		say("note", "the installer has written nothing to its console");
	for (size_t i = 0; (line = console_script_line(&in->script, i)); i++)
		say("note", "  | %s", line);
	say("note", "all of it: %s/console", in->project.data_dir);
}

/* -- the console -- */

static void follow_steps(struct installer *in)
{
	const struct console_script *script = &in->script;
	const char *text;

	if (script->steps == in->steps)
		return;
	in->steps = script->steps;
	text = nixos_step(script->step);
	begin_stage(in, text ? text : script->step);
}

static void on_console(void *ctx, const void *bytes, size_t length)
{
	struct installer *in = ctx;
	enum console_phase before = in->script.phase;

	console_script_feed(&in->script, bytes, length, now_ms(in));
	if (before != CONSOLE_RUNNING && in->script.phase == CONSOLE_RUNNING)
		begin_stage(in, "starting the installation");
	follow_steps(in);
	if (in->script.phase != CONSOLE_ENDED || in->ended_ms != 0)
		return;
	in->ended_ms = now_ms(in);
	if (in->script.status != 0)
		(void)err_set(&in->failure, ERR_GUEST, "%s: install.sh ended with status %d",
			      in->stage ? in->stage : "install", in->script.status);
	else
		begin_stage(in, "powering off");
}

static void watch(struct installer *in, uint64_t now)
{
	const struct console_script *script = &in->script;
	bool booting = script->phase == CONSOLE_BOOTING || script->phase == CONSOLE_ASKING;

	if (in->ended_ms != 0 && now - in->ended_ms > POWER_OFF_MS)
		in->vm->ops->kill(in->vm); /* it is synced */
	else if (in->ended_ms == 0 && now - script->heard_ms > in->silence_ms)
		fail(in, "nothing was heard for %.0f s", (double)in->silence_ms / 1000.0);
	else if (booting && now - in->began_ms > BOOT_MS)
		fail(in, "nobody was logged in after %d s", BOOT_MS / 1000);
}

static void on_tick(uv_timer_t *timer)
{
	struct installer *in = timer->data;
	struct err err = ERR_INIT;
	uint64_t wait;
	const char *text;

	if (!in->vm || in->gone)
		return;
	text = console_script_next(&in->script, now_ms(in), &wait);
	if (text && in->vm->ops->type(in->vm, text, &err) < 0)
		fail(in, "%s", err.text);
	watch(in, now_ms(in));
}

/* -- the machine -- */

static void on_notice(void *ctx, const char *text)
{
	(void)ctx;
	say("note", "%s", text);
}

static void on_gone(void *ctx, const struct vm_exit *exit)
{
	struct installer *in = ctx;

	in->gone = true;
	in->early = exit->early;
	in->panicked = exit->panicked && in->script.phase == CONSOLE_BOOTING;
	if (in->failure.code == ERR_NONE && in->ended_ms == 0)
		fail(in, "%s",
		     exit->expected ? "the installer restarted or powered off before it was done"
				    : exit->text);
	in->vm->ops->free(take_ptr(&in->vm));
	uv_stop(&in->loop);
}

static const struct vm_events vm_events = {
    .notice = on_notice, .console = on_console, .gone = on_gone};

static uint64_t choose_memory(const struct settings *settings)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t wanted = MEMORY_WANTED < host / 3 * 2 ? MEMORY_WANTED : host / 3 * 2;

	if (wanted < settings->mem)
		wanted = settings->mem;
	return wanted / MEMORY_UNIT * MEMORY_UNIT;
}

static int start_machine(struct installer *in, struct err *err)
{
	const struct installer_files *files = &in->files;
	auto_free char *cmdline = xasprintf("%s " CONSOLE_PARAM, files->cmdline);
	auto_close int console = openat(
	    in->data_dir, "console",
	    O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	auto_close int ram = -1;
	auto_close int agent = -1;
	auto_close int share = -1;
	const struct vm_install install = {
	    .media_fd = files->media_fd,
	    .bootstrap_fd = files->bootstrap_fd,
	    .boot_fd = files->boot_fd,
	};
	struct vm_spec spec = {
	    .id = "installer",
	    .memory = choose_memory(&in->settings),
	    .cpus = (uint32_t)in->settings.cpu,
	    .accel = in->accel,
	    .kernel_fd = files->kernel_fd,
	    .initrd_fd = files->initrd_fd,
	    .cmdline = cmdline,
	    .disk_fd = files->disk_fd,
	    .console_fd = console,
	    .mac = {0x52, 0x54, 0x00, 0xd0, 0x00, 0x01},
	    .network = in->settings.net,
	    .install = &install,
	};

	if (console < 0)
		return err_sys(err, "console");
	if (ram_create(spec.memory, &ram, err) < 0 ||
	    file_socketpair(&in->agent_peer, &agent, err) < 0 ||
	    file_socketpair(&in->share_peer, &share, err) < 0)
		return -1;
	spec.ram_fd = ram;
	spec.agent_fd = agent;
	spec.share_fd = share;
	in->gone = false;
	in->began_ms = now_ms(in);
	console_script_init(&in->script, nixos_command, in->began_ms);
	begin_stage(in, "booting the installer");
	return vm_qemu.start(&spec, &in->loop, &vm_events, in, &in->vm, err);
}

static void close_ports(struct installer *in)
{
	cleanup_close(&in->agent_peer);
	cleanup_close(&in->share_peer);
	in->agent_peer = in->share_peer = -1;
}

/* As at every start (lifecycle.c): KVM that passed the probe and still cannot run it, and a panic
 * under TCG, once. */
static bool is_worth_another(struct installer *in)
{
	if (in->early && in->accel == VM_ACCEL_KVM) {
		say("note", "KVM failed; using TCG, which is slower: %s", in->failure.text);
		in->accel = VM_ACCEL_TCG;
		return true;
	}
	if (!in->panicked || in->accel != VM_ACCEL_TCG || in->tried_again)
		return false;
	say("note", "%s; starting it once more", in->failure.text);
	in->tried_again = true;
	return true;
}

static int run_machine(struct installer *in, struct err *err)
{
	for (;;) {
		if (start_machine(in, err) < 0)
			return -1;
		(void)uv_run(&in->loop, UV_RUN_DEFAULT);
		close_ports(in);
		if (in->cancelled || !is_worth_another(in))
			break;
		in->failure = (struct err)ERR_INIT;
	}
	if (in->cancelled)
		return err_set(err, ERR_CANCELLED, "interrupted");
	if (in->failure.code != ERR_NONE) {
		show_console(in);
		*err = in->failure;
		return -1;
	}
	end_stage(in);
	return 0;
}

/* -- the process -- */

static void on_signal(uv_signal_t *handle, int signum)
{
	struct installer *in = handle->data;

	(void)signum;
	in->cancelled = true;
	if (in->vm)
		in->vm->ops->kill(in->vm);
}

static void watch_signals(struct installer *in)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		(void)uv_signal_init(&in->loop, &in->signals[i]);
		in->signals[i].data = in;
		(void)uv_signal_start(&in->signals[i], on_signal, numbers[i]);
	}
	(void)uv_timer_init(&in->loop, &in->tick);
	in->tick.data = in;
	(void)uv_timer_start(&in->tick, on_tick, TICK_MS, TICK_MS);
}

static int choose_silence(uint64_t *ret_ms, struct err *err)
{
	const char *text = getenv("DXVM_INSTALL_SILENCE");
	uint64_t seconds;

	*ret_ms = SILENCE_MS;
	if (!text || !*text)
		return 0;
	if (!number_take(&text, 10, 86400, &seconds) || *text || seconds == 0)
		return err_set(err, ERR_USAGE,
			       "DXVM_INSTALL_SILENCE: must be a number of seconds up to 86400");
	*ret_ms = seconds * 1000;
	return 0;
}

/* A signal that comes meanwhile is seen by the loop afterwards. */
static int take_base(struct installer *in, int base, struct err *err)
{
	say("stage", "copying the base image");
	if (installer_base_take(base, &in->files, err) < 0)
		return err_wrap(err, "copy the base image");
	(void)uv_run(&in->loop, UV_RUN_NOWAIT);
	return in->cancelled ? err_set(err, ERR_CANCELLED, "interrupted") : 0;
}

/* The VM is complete without it. */
static void keep_base(const struct installer *in, const char *name)
{
	struct err err = ERR_INIT;

	if (installer_base_keep(name, &in->files, &err) < 0)
		say("note", "no base image was kept for the next project: %s", err.text);
}

static int make_vm(struct installer *in, struct err *err)
{
	auto_free char *name = NULL;
	auto_close int base = -1;

	if (installer_base_name(&in->files, &name, err) < 0)
		return -1;
	base = installer_base_open(name);
	if ((base >= 0 ? take_base(in, base, err) : run_machine(in, err)) < 0 ||
	    installer_files_publish(&in->files, &in->project, err) < 0)
		return -1;
	if (base < 0)
		keep_base(in, name);
	return 0;
}

static int run(struct installer *in, const char *root, const char *data_dir, struct err *err)
{
	auto_free char *reason = NULL;
	int result;

	project_at(root, data_dir, &in->project);
	if (file_open_dir(AT_FDCWD, in->project.data_dir, &in->data_dir, err) < 0 ||
	    settings_load_as(in->data_dir, kind_find(GUEST_NAME), &in->settings, err) < 0 ||
	    choose_silence(&in->silence_ms, err) < 0 || kvm_choose(&in->accel, &reason, err) < 0)
		return -1;
	log_to(
	    openat(in->data_dir, "log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600),
	    LOG_INFO, LOG_CAP);
	if (*reason)
		say("note", "%s", reason);
	result = installer_files_open(in->data_dir, &in->project, &in->settings, &in->files, err);
	if (result == 0)
		result = make_vm(in, err);
	installer_files_close(&in->files);
	installer_files_remove(&in->files);
	return result;
}

static void on_walk_close(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void done(struct installer *in)
{
	if (in->vm)
		in->vm->ops->free(take_ptr(&in->vm));
	uv_walk(&in->loop, on_walk_close, NULL);
	(void)uv_run(&in->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&in->loop);
	close_ports(in);
	cleanup_close(&in->data_dir);
	free(in->stage);
	project_done(&in->project);
}

int installer_main(int argc, char **argv)
{
	struct installer in = {.data_dir = -1, .agent_peer = -1, .share_peer = -1};
	struct err err = ERR_INIT;
	int status;

	if (argc != 3) {
		(void)fprintf(stderr, "dxvm: `" LIVE_INSTALL_COMMAND
				      "` is not for people; see dxvm help\n");
		return 2;
	}
	(void)umask(077);
	(void)uv_loop_init(&in.loop);
	watch_signals(&in);
	status = run(&in, argv[1], argv[2], &err);
	if (status < 0)
		say("error", "%s", err.text);
	else
		(void)puts("done");
	done(&in);
	return status == 0 ? 0 : err.code == ERR_CANCELLED ? CANCELLED : 1;
}
