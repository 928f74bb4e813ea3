#include "supervisor/supervisor.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/safe_text.h"
#include "project/data_dir.h"
#include "project/live.h"
#include "supervisor/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_CAP		   ((off_t)1 << 20)
#define SOCKET_NAME_LENGTH 16 /* digits of the id: sun_path is short */

static void on_signal(uv_signal_t *handle, int signum)
{
	struct supervisor *s = handle->data;
	struct err err = ERR_INIT;

	/* A host that shuts down is no reason to lose what runs in the VM. */
	s->suspend.leaving = true;
	if (s->suspend.resuming || suspend_begin(s, &err) == 0) {
		log_info("signal", "%s: suspending the VM", strsignal(signum));
		return;
	}
	log_info("signal", "%s: stopping the VM", strsignal(signum));
	stop_begin(s);
}

static void watch_signals(struct supervisor *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		(void)uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		(void)uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
}

/* -- start -- */

static int load(struct supervisor *s, const char *root, const char *data_dir, struct err *err)
{
	project_at(root, data_dir, &s->project);
	if (data_dir_open(&s->project, &s->data_dir, &s->identity, err) < 0)
		return -1;
	if (settings_load(s->data_dir, &s->settings, err) < 0 ||
	    share_list_load(s->data_dir, &s->project, &s->shares, err) < 0)
		return err_wrap(err, "%s", s->project.data_dir);
	return guest_config_make(&s->project, &s->identity, &s->settings, &s->shares, &s->configure,
				 &s->ids, err);
}

static int on_moved(void *ctx, const char *path, struct err *err)
{
	const struct supervisor *s = ctx;

	return live_write(LIVE_LOCK_FD, path, err) < 0 ? err_wrap(err, "%s", s->project.data_dir)
						       : 0;
}

static int open_control(struct supervisor *s, struct err *err)
{
	auto_free char *dir = path_runtime_dir();
	auto_free char *name = xstrndup(s->identity.hex, SOCKET_NAME_LENGTH);

	return control_open(&s->loop, dir, name, &lifecycle_control_host, on_moved, s, &s->control,
			    err);
}

static void open_log(struct supervisor *s)
{
	int fd =
	    openat(s->data_dir, "log", O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	log_to(fd, s->settings.loglevel, LOG_CAP);
	log_info("state", "supervisor of %s, version %s, pid %ld", s->project.root, DXVM_VERSION,
		 (long)getpid());
}

/* What earlier ones left half written; not while `dxvm config` writes. */
static void sweep(struct supervisor *s)
{
	struct err ignored = ERR_INIT;
	auto_close int lock = -1;

	if (file_lock_dir(s->data_dir, false, &lock, &ignored) == 0)
		file_sweep(s->data_dir);
}

static void on_walk_close(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void done(struct supervisor *s)
{
	agent_link_free(take_ptr(&s->agent));
	share_link_free(take_ptr(&s->share));
	if (s->vm)
		s->vm->ops->free(take_ptr(&s->vm));
	control_free(take_ptr(&s->control));
	atomic_store(&s->suspend.cancel, true);
	uv_walk(&s->loop, on_walk_close, NULL);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT); /* which waits for the worker, too */
	machine_done(&s->machine);
	suspend_done(s);
	(void)uv_loop_close(&s->loop);
	free(s->agent_loss);
	message_configure_done(&s->configure);
	share_list_done(&s->shares);
	project_done(&s->project);
}

static int run(struct supervisor *s, const char *root, const char *data_dir, struct err *err)
{
	if (load(s, root, data_dir, err) < 0)
		return -1;
	open_log(s);
	sweep(s);
	watch_signals(s);
	(void)uv_timer_init(&s->loop, &s->limit);
	s->limit.data = s;
	idle_init(s);
	s->started_ms = uv_now(&s->loop);
	if (open_control(s, err) < 0) {
		log_error("control", "%s", err->text);
		return -1;
	}
	if (lifecycle_start(s, err) < 0) {
		log_error("machine", "%s", err->text);
		return -1;
	}
	(void)!write(LIVE_READY_FD, LIVE_OK, strlen(LIVE_OK));
	(void)close(LIVE_READY_FD);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	log_info("state", "supervisor ends");
	return 0;
}

/* What would be run, one argument a line. */
static int dry_run(struct supervisor *s, const char *root, const char *data_dir, struct err *err)
{
	auto_buf struct buf text;

	buf_init(&text, 65536);
	if (load(s, root, data_dir, err) < 0 ||
	    machine_prepare(&s->machine, s->data_dir, &s->project, &s->identity, &s->settings,
			    s->previous, NULL, err) < 0 ||
	    s->machine.ops->describe(&s->machine.spec, &text, err) < 0)
		return -1;
	if (s->machine.accel_reason[0])
		(void)fprintf(stderr, "dxvm: %s\n", s->machine.accel_reason);
	return file_write_all(STDOUT_FILENO, buf_data(&text), buf_length(&text), err);
}

int supervisor_main(int argc, char **argv)
{
	struct supervisor s = {.machine = MACHINE_INIT, .data_dir = -1};
	struct err err = ERR_INIT;
	bool dry = argc == 4 && strcmp(argv[3], "--dry-run") == 0;
	int status;

	s.previous = argc == 4 && strcmp(argv[3], LIVE_PREVIOUS) == 0;
	if (argc != 3 && !dry && !s.previous) {
		(void)fprintf(stderr,
			      "dxvm: `" LIVE_COMMAND "` is not for people; see dxvm help\n");
		return 2;
	}
	(void)umask(077);
	(void)uv_loop_init(&s.loop);
	suspend_init(&s);
	if (!dry)
		(void)file_set_inherit(LIVE_LOCK_FD, false, &err);
	status = dry ? dry_run(&s, argv[1], argv[2], &err) : run(&s, argv[1], argv[2], &err);
	if (status < 0 && dry) {
		auto_free char *text = safe_text(err.text, strlen(err.text), SAFE_TEXT_LINE);
		(void)fprintf(stderr, "dxvm: %s\n", text);
	} else if (status < 0) {
		(void)!write(LIVE_READY_FD, err.text, strlen(err.text));
	}
	done(&s);
	return status < 0 ? err_exit_status(&err) : 0;
}
