/* Why a service came down, in words: one line, cut where it is long, never inside a character. Any thread. */
#ifndef CONCD_JOBS_SERVICE_CAUSE_H
#define CONCD_JOBS_SERVICE_CAUSE_H

struct crew_ended;

#define SERVICE_CAUSE_BYTES 400

/* Words of several lines as one. */
void service_join_lines(const char *text, char ret_line[SERVICE_CAUSE_BYTES]);
/* "it returned: RESULT", "it failed: WORDS" */
void service_describe_end(const struct crew_ended *ended, char ret_text[SERVICE_CAUSE_BYTES]);

#endif
