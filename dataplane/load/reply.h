// SPDX-License-Identifier: Apache-2.0
/*
 * Outcome of feeding received bytes to a reply parser.
 */
#pragma once

enum rb_reply_status {
	RB_REPLY_MORE,	  /* all bytes used, the reply is not complete */
	RB_REPLY_OK,	  /* complete and as expected */
	RB_REPLY_MISS,	  /* GET: no such key */
	RB_REPLY_REFUSED, /* the server answered with an error; the stream is still in step */
	RB_REPLY_BAD,	  /* not a valid reply to this request: the connection is of no more use */
};
