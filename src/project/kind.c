#include "project/kind.h"

#include "base/cleanup.h"

#include <string.h>

/* quiet: a serial console costs boot time. panic=-1: a panic reboots at once, which ends QEMU and
 * is reported. mitigations=off: the guest holds one user's project, and its boundary is the VM.
 * init_on_alloc=0: Debian's kernel else clears all memory that it hands out, also what is written
 * over at once. random.trust_cpu: no waiting for entropy; the agent adds the host's.
 * no_timer_check: on a busy host the timer may come later than the kernel's test of it allows.
 * REPORTING: the kernel gives back memory that is free in pieces of 64 KiB, not of 2 MiB alone:
 * what it keeps is stored by a suspend. */
#define REPORTING "page_reporting.page_reporting_order=4"
#define CMDLINE                                                                                    \
	"console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 random.trust_cpu=on "        \
	"no_timer_check " REPORTING

const struct kind kinds[] = {
    {
	.name = "debian",
	.summary = "Debian 13 with apt, sudo, git and nix, built here from Debian's packages "
		   "(about 400 MB, 1 to 2 minutes the first time)",
	.cmdline = CMDLINE " dxvm.root=/dev/vda",
	.has_disk = true,
	.has_machine = true,
	.takes_tools = true,
    },
    {
	.name = "nixos",
	.summary = "NixOS, installed by its own installer from nixos.org "
		   "(expect some GB and tens of minutes; tried with a stand-in for it only)",
	.cmdline = "console=ttyS0 panic=-1 no_timer_check " REPORTING,
	.has_disk = true,
	.has_machine = true,
	.boots_itself = true,
    },
    {
	.name = "tiny",
	.summary = NULL,
	.cmdline = CMDLINE,
	.has_disk = false,
	.has_machine = true,
    },
    {
	.name = "fake",
	.summary = NULL,
	.cmdline = "",
	.has_disk = false,
	.has_machine = false,
    },
};

const size_t kind_count = ARRAY_SIZE(kinds);

const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < kind_count; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}
