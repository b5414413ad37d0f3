#!/usr/bin/perl
# Opens COUNT connections to ADDRESS PORT, one after the other, INTERVAL ms apart, each given TIMEOUT ms, from source port FIRST
# upwards when FIRST is not 0; prints one line each: `MILLISECONDS ANSWER` or `MILLISECONDS - REASON` (refused, timeout, reset).
use strict; use warnings;
use IO::Socket::IP; use IO::Select; use Time::HiRes qw(time sleep); use Errno qw(EINPROGRESS ECONNREFUSED EHOSTUNREACH);
$| = 1;
my ($address, $port, $count, $interval, $timeout, $first) = @ARGV;
my $begin = time;
for my $i (0 .. $count - 1) {
  my $started = time;
  my $answer = attempt($first ? $first + $i : 0);
  # since the epoch, so that the reader can set it against what it did when
  printf "%d %s\n", $started * 1000, $answer;
  my $rest = ($begin + ($i + 1) * $interval / 1000) - time;
  sleep $rest if $rest > 0 && $i < $count - 1;
}
sub attempt {
  my ($source) = @_;
  my $socket = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Blocking => 0, ($source ? (LocalPort => $source, ReuseAddr => 1) : ()))
    or return '- ' . reason($!);
  my $until = time + $timeout / 1000;
  while (!$socket->connect) {
    return '- ' . reason($!) if !$!{EINPROGRESS} && !$!{EALREADY};
    my $left = $until - time;
    return '- timeout' if $left <= 0;
    IO::Select->new($socket)->can_write($left);
  }
  my $text = '';
  while ($text !~ /\n/) {
    my $left = $until - time;
    return '- timeout' if $left <= 0 || !IO::Select->new($socket)->can_read($left);
    my $got = sysread $socket, $text, 512, length $text;
    return '- ' . reason($!) if !defined $got;
    return '- closed' if $got == 0;
  }
  chomp $text;
  return $text;
}
sub reason {
  my ($error) = @_;
  return $error == ECONNREFUSED ? 'refused' : $error == EHOSTUNREACH ? 'unreachable' : lc("$error") =~ s/\s+/-/gr;
}
