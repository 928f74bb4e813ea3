#include "agent/share_look.h"

void share_look_asked(struct share_look *look, uint64_t now_ns)
{
	look->soon = look->answered_ns > 0 && now_ns - look->answered_ns <= SHARE_LOOK_NS;
	look->until_ns = 0;
}

void share_look_answered(struct share_look *look, uint64_t now_ns)
{
	look->answered_ns = now_ns;
	look->until_ns = look->soon ? now_ns + SHARE_LOOK_NS : 0;
}

bool share_look_on(const struct share_look *look, uint64_t now_ns)
{
	return now_ns < look->until_ns;
}
