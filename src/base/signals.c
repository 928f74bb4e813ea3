#include "base/signals.h"

void signals_handle(const int *numbers, size_t count, const struct sigaction *action,
		    struct sigaction *ret_before)
{
	for (size_t i = 0; i < count; i++) {
		ret_before[i] = (struct sigaction){.sa_handler = SIG_DFL};
		if (sigaction(numbers[i], NULL, &ret_before[i]) == 0 &&
		    ret_before[i].sa_handler != SIG_IGN)
			(void)sigaction(numbers[i], action, NULL);
	}
}

void signals_restore(const int *numbers, size_t count, const struct sigaction *before)
{
	for (size_t i = 0; i < count; i++)
		(void)sigaction(numbers[i], &before[i], NULL);
}
