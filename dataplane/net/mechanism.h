// SPDX-License-Identifier: Apache-2.0
/*
 * The rules of the RFCs that have a test of their own, each with the test that fails when the rule is left out.
 *
 * Usage: where a rule is applied, write `if (MECHANISM(name) && ...)`, and give the name a row below.
 * In the product MECHANISM() is true. tests/net/mutations.c runs each row's test with the rule and without it.
 */
#pragma once

#include <stdbool.h>

/*
 * X(name, RFC and section, test executable in tests/net without "net_", tests of it (* and ? match any))
 *
 * Connection management and segment delivery.
 */
#define NET_MECHANISMS_CONNECTION(X)                                                          \
	X(acceptance, "9293 3.10.7.4", "tcp_accept", "test_acceptance")                       \
	X(edge_ack, "9293 3.10.7.4", "tcp_accept", "test_edge_ack")                           \
	X(syn_challenge, "5961 4.2", "tcp_accept", "test_syn_challenge")                      \
	X(time_wait_reset, "1337 F1", "tcp_accept", "test_time_wait_reset")                   \
	X(rst_exact, "5961 3.2", "tcp_attack", "test_blind_reset*")                           \
	X(reassembly, "9293 3.10.7.4", "tcp_deliver", "test_reassembly*")                     \
	X(gap_ack, "5681 4.2", "tcp_deliver", "test_reorder_ack*")                            \
	X(early_fin, "9293 3.10.7.4", "tcp_deliver", "test_early_fin*")                       \
	X(part_reserve, "9293 3.8.6", "tcp_pools", "test_parts_beyond_gaps*")                 \
	X(sack_blocks, "2018 4", "tcp_deliver", "test_sack_blocks*")                          \
	X(dsack, "2883 4", "tcp_deliver", "test_dsack*")                                      \
	X(delayed_ack, "9293 3.8.6.3", "tcp_deliver", "test_delayed_ack")                     \
	X(delayed_ack_once, "9293 3.8.6.3", "tcp_deliver", "test_delayed_ack_is_not_put_off") \
	X(ack_every_second, "9293 3.8.6.3", "tcp_deliver", "test_delayed_ack")                \
	X(receiver_sws, "9293 3.8.6.2.2", "tcp_deliver", "test_receiver_silly_window*")       \
	X(paws, "7323 5", "tcp_timestamps", "test_paws")                                      \
	X(timestamps_always, "7323 3.2", "tcp_timestamps", "test_missing")                    \
	X(ack_range, "5961 5.2", "tcp_accept", "test_established")                            \
	X(challenge_limit, "5961 7", "tcp_attack", "test_challenge_limit")                    \
	X(icmp_sequence, "5927 4", "tcp_attack", "test_icmp_blind")                           \
	X(time_wait_again, "9293 3.10.7.4", "tcp_close", "test_time_wait_lasts")              \
	X(time_wait_reuse, "6191 2", "tcp_close", "test_time_wait_reuse*")                    \
	X(iss_after, "9293 3.10.7.4", "tcp_close", "test_time_wait_reuse_iss*")               \
	X(iss_clock, "6528 3", "tcp_open", "test_iss_grows")                                  \
	X(iss_hash, "6528 3", "tcp_open", "test_iss_differs")                                 \
	X(port_hash, "6056 3.3.3", "tcp_open", "test_ports")                                  \
	X(nagle, "9293 3.7.4", "tcp_send", "test_nagle")                                      \
	X(sender_sws, "9293 3.8.6.2.1", "tcp_send", "test_sender_silly_window")               \
	X(sws_override, "9293 3.8.6.2.1", "tcp_send", "test_small_window_for_ever")           \
	X(persist, "9293 3.8.6.1", "tcp_send", "test_persist")                                \
	X(persist_alive, "9293 3.8.6.1", "tcp_send", "test_persist_for_ever")                 \
	X(fin_window, "9293 3.4", "tcp_send", "test_fin_waits*")                              \
	X(keepalive, "9293 3.8.4", "tcp_send", "test_keepalive")                              \
	X(user_timeout, "9293 3.8.3", "tcp_send", "test_user_timeout")                        \
	X(simultaneous_open, "9293 3.5", "tcp_open", "test_simultaneous_open")                \
	X(trim, "9293 3.10.7.4", "tcp_accept", "test_trim")                                   \
	X(zero_window_ack, "9293 3.10.7.4", "tcp_accept", "test_zero_window_ack")             \
	X(ts_recent, "7323 4.3", "tcp_timestamps", "test_recent")                             \
	X(cookies, "4987 3.6", "tcp_cookie", "test_flood")                                    \
	X(cookie_age, "4987 3.6", "tcp_cookie", "test_expiry")                                \
	X(cookie_hash, "4987 3.6", "tcp_cookie", "test_forged")                               \
	X(cookie_options, "4987 3.6", "tcp_cookie", "test_options")                           \
	X(icmp_soft, "5461 3", "tcp_attack", "test_icmp_blind")                               \
	X(icmp_hard, "5461 2", "tcp_open", "test_icmp")                                       \
	X(path_mtu, "1191 6", "tcp_open", "test_path_mtu")                                    \
	X(mss, "9293 3.7.1", "tcp_open", "test_mss")                                          \
	X(window_scale, "7323 2", "tcp_timestamps", "test_scale")                             \
	X(ts_offset, "7323 5.4", "tcp_timestamps", "test_offset")                             \
	X(simultaneous_close, "9293 3.6", "tcp_close", "test_simultaneous")                   \
	X(time_wait, "9293 3.6.1", "tcp_close", "test_active")                                \
	X(time_wait_gives_way, "9293 3.6.1", "tcp_close", "test_time_wait_gives_way")

/* What is below TCP, and UDP. */
#define NET_MECHANISMS_BELOW(X)                                                           \
	X(arp_form, "826 Packet Reception", "ethernet", "test_arp_that_is_not_answered")  \
	X(arp_keep, "826 Packet Reception", "ethernet", "test_a_request_is_answered")     \
	X(arp_unasked, "826 Packet Reception", "ethernet", "test_who_makes_an_entry")     \
	X(arp_reply, "826 Packet Reception", "ethernet", "test_a_request_is_answered")    \
	X(arp_announce, "5227 2.3", "neighbour", "test_the_own_addresses*")               \
	X(arp_defence, "5227 2.4", "ethernet", "test_the_address_is_defended")            \
	X(defend_interval, "5227 2.4", "ethernet", "test_the_address_is_defended")        \
	X(pending_queue, "1122 2.3.2.2", "neighbour", "test_packets_wait*")               \
	X(pending_oldest, "4861 7.2.2", "neighbour", "test_the_oldest*")                  \
	X(solicit_again, "4861 7.2.2", "neighbour", "test_no_answer")                     \
	X(solicit_limit, "4861 7.2.2", "neighbour", "test_no_answer")                     \
	X(group_mac4, "1112 6.4", "neighbour", "test_groups*")                            \
	X(group_mac6, "2464 7", "neighbour", "test_groups*")                              \
	X(reachable_time, "4861 7.3.3", "neighbour", "test_what_becomes*")                \
	X(probe_stale, "4861 7.3.3", "neighbour", "test_what_becomes*")                   \
	X(upper_confirms, "4861 7.3.1", "neighbour", "test_what_becomes*")                \
	X(duplicate_probe, "4862 5.4.2", "neighbour", "test_the_own_addresses*")          \
	X(duplicate_told, "4862 5.4.3", "discovery", "test_a_duplicate_is_told")          \
	X(nd_announce, "4861 7.2.6", "neighbour", "test_the_own_addresses*")              \
	X(nd_hop_limit, "4861 7.1", "discovery", "test_messages_that_are_refused")        \
	X(nd_options, "4861 7.1", "discovery", "test_messages_that_are_refused")          \
	X(nd_keep, "4861 7.2.3", "discovery", "test_a_solicitation_is_answered")          \
	X(nd_answer, "4861 7.2.4", "discovery", "test_a_solicitation_is_answered")        \
	X(nd_unasked, "4861 7.2.5", "discovery", "test_resolution")                       \
	X(override, "4861 7.2.5", "discovery", "test_what_advertisements_change")         \
	X(solicited, "4861 7.2.5", "discovery", "test_what_advertisements_change")        \
	X(ip4_options, "791 3.1", "ip", "test_ip4_that_is_taken")                         \
	X(ip4_checksum, "791 3.1", "ip", "test_ip4_packets*")                             \
	X(ip4_fragments, "791 3.2", "ip", "test_ip4_packets*")                            \
	X(ip4_destination, "1122 3.2.1.3", "ip", "test_ip4_packets*")                     \
	X(ip4_source, "1122 3.2.1.3", "ip", "test_ip4_packets*")                          \
	X(ip4_group_frame, "1122 3.3.6", "ip", "test_ip4_packets*")                       \
	X(gateway4, "1122 3.3.1.1", "ip", "test_routes")                                  \
	X(ip6_destination, "8200 3", "ip", "test_ip6_packets*")                           \
	X(ip6_source, "4291 2.7", "ip", "test_ip6_packets*")                              \
	X(ip6_extensions, "8200 4", "ip", "test_ip6_extension*")                          \
	X(ip6_next_header, "8200 4", "ip", "test_ip6_extension*")                         \
	X(ip6_hop_by_hop, "8200 4.1", "ip", "test_ip6_extension*")                        \
	X(ip6_options, "8200 4.2", "ip", "test_ip6_extension*")                           \
	X(ip6_routing, "8200 4.4", "ip", "test_ip6_extension*")                           \
	X(ip6_fragments, "8200 4.5", "ip", "test_ip6_extension*")                         \
	X(ip6_atomic, "6946 4", "ip", "test_ip6_extension*")                              \
	X(ip6_no_next_header, "8200 4.7", "ip", "test_ip6_extension*")                    \
	X(gateway6, "4861 5.2", "ip", "test_routes")                                      \
	X(source_scope, "6724 5", "ip", "test_routes")                                    \
	X(source_prefix, "6724 5", "ip", "test_routes")                                   \
	X(tcp_group, "9293 3.9.2.3", "ip", "test_ip4_that_is_taken")                      \
	X(icmp_checksum, "792 Checksum", "icmp", "test_broken_messages")                  \
	X(icmp_echo, "792 Echo", "icmp", "test_echoes")                                   \
	X(icmp_port, "1122 4.1.3.1", "icmp", "test_errors_we_send")                       \
	X(icmp_protocol, "792 Destination Unreachable", "icmp", "test_errors_we_send")    \
	X(icmp_quote, "1812 4.3.2.3", "icmp", "test_errors_we_send")                      \
	X(icmp_to_tcp, "1122 4.2.3.9", "icmp", "test_errors_for_tcp")                     \
	X(icmp_limit, "1812 4.3.2.8", "icmp", "test_errors_are_limited")                  \
	X(icmp6_checksum, "4443 2.3", "icmp", "test_broken_messages")                     \
	X(icmp6_quote, "4443 2.4 c", "icmp", "test_errors_we_send")                       \
	X(icmp6_to_tcp, "4443 2.4 d", "icmp", "test_errors_for_tcp")                      \
	X(icmp6_group, "4443 2.4 e", "ip", "test_ip6_to_groups")                          \
	X(icmp6_option_group, "4443 2.4 e", "ip", "test_ip6_to_groups")                   \
	X(icmp6_port, "4443 3.1", "icmp", "test_errors_we_send")                          \
	X(icmp6_echo, "4443 4.2", "icmp", "test_echoes")                                  \
	X(udp_checksum, "768 Checksum", "udp", "test_datagrams_that_are_refused")         \
	X(udp_without_checksum, "768 Checksum", "udp", "test_datagrams_that_are_refused") \
	X(udp_ones, "768 Checksum", "udp", "test_no_checksum_is_sent_as_zero")            \
	X(udp_length, "768 Length", "udp", "test_datagrams_that_are_refused")             \
	X(udp6_checksum, "8200 8.1", "udp", "test_datagrams_that_are_refused")

/* Loss recovery and congestion control. */
#define NET_MECHANISMS_CREDIT(X)                                                   \
	X(rto_variation, "6298 2.3", "tcp_rto", "test_variation*")                 \
	X(rto_backoff, "6298 5.5", "tcp_rto", "test_backoff*")                     \
	X(rto_collapse, "6298 5", "tcp_rto", "test_collapse*")                     \
	X(rto_syn_lost, "6298 5.7", "tcp_rto", "test_syn_lost*")                   \
	X(rto_not_restarted, "6298 5.1", "tcp_rto", "test_not_restarted*")         \
	X(karn, "6298 3", "tcp_rto", "test_karn*")                                 \
	X(rtt_timestamps, "7323 4.1", "tcp_rto", "test_timestamps*")               \
	X(reduce_by_window, "5681 3.2", "tcp_rack", "test_reduced_twice*")         \
	X(fast_retransmit, "5681 3.2", "tcp_recovery", "test_fast_retransmit*")    \
	X(limited_transmit, "3042 2", "tcp_recovery", "test_limited_transmit*")    \
	X(newreno_partial, "6582 3.2", "tcp_recovery", "test_partial*")            \
	X(newreno_recover, "6582 3.2", "tcp_recovery", "test_recover")             \
	X(sack_is_lost, "6675 4", "tcp_sack", "test_holes*")                       \
	X(sack_reneging, "2018 8", "tcp_sack", "test_reneging*")                   \
	X(rack_reordering, "8985 6.2 step 3", "tcp_rack", "test_reordering_seen*") \
	X(rack_window, "8985 6.2 step 4", "tcp_rack", "test_window*")              \
	X(rack_dsack, "8985 6.2 step 4", "tcp_rack", "test_dsack*")                \
	X(rack_ambiguous, "8985 6.2 step 2", "tcp_rack", "test_ambiguous*")        \
	X(rack_loss, "8985 6.2 step 5", "tcp_rack", "test_lost_again")             \
	X(rack_timeout, "8985 6.3", "tcp_rack", "test_timeout")                    \
	X(tlp, "8985 7.3", "tcp_rack", "test_probe*")                              \
	X(tlp_loss, "8985 7.4", "tcp_rack", "test_loss_by_probe*")                 \
	X(byte_counting, "3465 2.2", "tcp_congestion", "test_slow_start*")         \
	X(cwnd_limited, "7661 4.1", "tcp_congestion", "test_validation*")          \
	X(initial_window, "6928 2", "tcp_congestion", "test_initial_window")       \
	X(loss_window, "5681 3.1", "tcp_recovery", "test_timeout")                 \
	X(idle_restart, "5681 4.1", "tcp_congestion", "test_idle*")                \
	X(cubic_growth, "9438 4.2", "tcp_cubic", "test_curve")                     \
	X(cubic_idle, "9438 5.8", "tcp_cubic", "test_idle")                        \
	X(cubic_decrease, "9438 4.6", "tcp_cubic", "test_curve")                   \
	X(cubic_timeout, "9438 4.8", "tcp_cubic", "test_timeout")                  \
	X(cubic_convergence, "9438 4.7", "tcp_cubic", "test_convergence*")         \
	X(cubic_friendly, "9438 4.3", "tcp_cubic", "test_friendly*")               \
	X(dctcp_alpha, "8257 3.3", "tcp_ecn", "test_dctcp*")                       \
	X(ecn_exact, "8257 3.2", "tcp_ecn", "test_exact")                          \
	X(ecn_agree, "3168 6.1.1", "tcp_ecn", "test_agreed")                       \
	X(ecn_mirrored, "3168 6.1.1", "tcp_ecn", "test_mirrored")                  \
	X(ecn_not_again, "3168 6.1.5", "tcp_ecn", "test_ect")                      \
	X(ecn_once, "3168 6.1.2", "tcp_ecn", "test_once*")                         \
	X(ecn_cwr, "3168 6.1.2", "tcp_ecn", "test_cwr*")                           \
	X(ecn_no_growth, "3168 6.1.2", "tcp_ecn", "test_no_growth*")               \
	X(ecn_echo, "3168 6.1.3", "tcp_ecn", "test_echo*")

#define NET_MECHANISMS(X)            \
	NET_MECHANISMS_BELOW(X)      \
	NET_MECHANISMS_CONNECTION(X) \
	NET_MECHANISMS_CREDIT(X)

enum net_mechanism {
	NET_MECHANISM_NONE,
#define NET_MECHANISM(name, rfc, executable, tests) NET_MECHANISM_##name,
	NET_MECHANISMS(NET_MECHANISM)
#undef NET_MECHANISM
};

#ifdef NET_MUTATIONS
/* The one that is left out; set by the tests. */
extern enum net_mechanism net_without;
#define MECHANISM(name) (net_without != NET_MECHANISM_##name)
#else
#define MECHANISM(name) ((void)NET_MECHANISM_##name, true)
#endif
