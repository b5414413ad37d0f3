#!/usr/bin/perl
# The lab's workload: answers every TCP connection and UDP datagram on its port with `NAME PEER-ADDRESS`, so that a probe learns
# which pod answered and which source address it saw. Perl, because every Debian has it and it starts in milliseconds.
use strict; use warnings;
use IO::Socket::IP; use IO::Select; use Socket qw(getnameinfo NI_NUMERICHOST NI_NUMERICSERV);
$| = 1; $SIG{PIPE} = 'IGNORE';
my ($name, $port) = @ARGV;
my $tcp = IO::Socket::IP->new(LocalHost => '::', LocalPort => $port, Listen => 1024, ReuseAddr => 1, V6Only => 0)
  or die "cannot listen on tcp $port: $@\n";
my $udp = IO::Socket::IP->new(LocalHost => '::', LocalPort => $port, Proto => 'udp', V6Only => 0)
  or die "cannot listen on udp $port: $@\n";
sub peer { my (undef, $host) = getnameinfo($_[0], NI_NUMERICHOST | NI_NUMERICSERV); $host =~ s/^::ffff://; return $host }
my $select = IO::Select->new($tcp, $udp);
while (my @ready = $select->can_read) {
  for my $socket (@ready) {
    if ($socket == $tcp) {
      my $connection = $tcp->accept or next;
      $connection->blocking(0);
      # a long-lived client sends lines and gets one answer a line; a short one just reads
      $select->add($connection);
      syswrite $connection, "$name " . peer(getpeername $connection) . "\n";
    } elsif ($socket == $udp) {
      my $from = recv($udp, my $data, 2048, 0);
      send($udp, "$name " . peer($from) . "\n", 0, $from) if defined $from;
    } else {
      my $got = sysread $socket, my $data, 2048;
      if (!defined $got && $!{EAGAIN}) { next }
      if (!$got) { $select->remove($socket); close $socket; next }
      syswrite $socket, "$name " . peer(getpeername $socket) . "\n";
    }
  }
}
