/* A host on which the probe finds KVM, whatever is true: linked instead of vm/kvm_probe.c. */
#include "base/mem.h"
#include "vm/kvm_probe.h"

int kvm_choose(enum vm_accel *ret_accel, char **ret_reason, struct err *err)
{
	(void)err;
	*ret_accel = VM_ACCEL_KVM;
	*ret_reason = xstrdup("");
	return 0;
}
