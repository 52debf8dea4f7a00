# Dropscope's page in English. Sentences about a capture come from the engine, not from here.

severity-critical = critical
severity-warning = warning
severity-note = note
confidence-proved = proved
confidence-strong = strong
confidence-possible = possible

findings = Findings
finding = Finding
headline-causes = { $n ->
    [one] 1 cause found
   *[other] { $n } causes found
}
headline-notes = { $n ->
    [one] No cause of loss found in { $what }, 1 note
   *[other] No cause of loss found in { $what }, { $n } notes
}
headline-only-notes = { $n ->
    [one] 1 note
   *[other] { $n } notes
}
headline-none = No loss found in { $what }
headline-nothing = Nothing to judge
headline-so-far = No loss found so far in { $what }
scope-judged = Judged: { $what }
scope-not-judged = Not judged: { $what }
scope-counters = counters
scope-icmp-errors = ICMP errors
scope-other = other
headline-reading = Looking…
checked-fine = { $n ->
    [one] Checked and fine: 1
   *[other] Checked and fine: { $n }
}
checked-unsure = { $n ->
    [one] Cannot tell: 1
   *[other] Cannot tell: { $n }
}
show = show
why-we-think-so = Why we think so
proof = Why we think so, how sure, and what else it could be
how-sure = How sure
what-else = What else it could be
confirm = Confirm
fix = Fix
questions = Questions
evidence = Evidence
packet = Packet
conversation = Conversation
bytes = Bytes
counter-step = Counter step
firewall-rule = Firewall rule
kernel-drop = Kernel drop
interface = Interface
conntrack = Connection tracking
show-flow-graph = Show the flow graph

picture-sizes = { $n ->
    [one] 1 packet above MTU { $mtu } vanished; smaller ones passed
   *[other] { $n } packets above MTU { $mtu } vanished; smaller ones passed
}
picture-bytes-of-ip = bytes of IP
picture-passed = passed
picture-vanished = vanished
picture-hits = { $n ->
    [one] The rule's hits rose by { $hits }; 1 packet went unanswered
   *[other] The rule's hits rose by { $hits }; { $n } packets went unanswered
}
picture-unanswered = unanswered packets
picture-loss = { $lost } of { $sent } lost, by size and over time

timeline = Timeline
track-findings = findings
track-packets = packets/s
track-bytes = bytes/s
track-anomalies = anomalies
timeline-canvas = Timeline. Arrow keys move and zoom, Home shows everything, dragging selects a span. The button before it shows the same as a table.
timeline-more = { $n ->
    [one] ▾ 1 more track
   *[other] ▾ { $n } more tracks
}
timeline-as-table = as table
track = Track
time = Time
value = Value

views = Views
view-packets = Packets
view-ladder = Flow graph
view-course = Course
view-conversations = Conversations
view-counters = Counters
view-drops = Drops
view-notes = Notes
inspector = Inspector
inspector-empty = Choose a finding or a packet: it is explained here.
split-findings = Width of the findings
split-timeline = Height of the timeline
split-inspector = Width of the inspector

packets-shown = { $n ->
    [one] 1 packet
   *[other] { $shown } packets
}
still-filtering = still filtering…
selected = selected
all-of = all of
clear-span = Show packets of all times
n-new = { $n } new
follow = Follow
column-no = No.
column-time = Time
column-addresses = Source → destination
column-protocol = Proto
column-info = Info
column-length = Len
column-state = State
column-packets = Packets
column-bytes = Bytes
column-duration = Duration
column-retransmissions = Sent again
column-missing = Missing
column-conversation = Conversation
packets-none-yet = No packets yet.
packets-none = There is no packet in this capture.
packets-none-match = No packet matches the filter within the selected span.
packets-none-pass = No packet matches the filter.
packets-none-then = No packet lies within the selected span.
filter-for = Filter for { $what }
follow-flow = Follow this conversation
copy-line = Copy as tcpdump line
copy-filter = Copy as filter
copy-link = Copy link to this packet
reading-packet = Reading the packet…
reading = Reading…
decode-tree = Decode tree
bytes-of-packet = Bytes of the packet
show-all-bytes = Show all { $n } bytes
bytes-cut = { $kept } of { $len } bytes were kept by the capture.
utc = Times are UTC

ladder-none = Choose a conversation, or a packet that belongs to one: its packets stand here as a ladder between its two ends.
client = Client
server = Server
to-server = to the server
to-client = to the client
missing-bytes = { $n } bytes missing

course-none = Choose a conversation, or a packet that belongs to one: how it went over time stands here.
course-nothing = nothing here
course-rtt = Round trip
course-rtt-about = Time from a segment that passed the capture point to its acknowledgement passing back: the way from there to the receiver and back. What was sent again tells no time (Karn's rule).
course-by-ack = by acknowledgement
course-by-echo = by time stamp
course-in-flight = In flight
course-in-flight-about = Bytes sent that the receiver has neither acknowledged nor told by SACK, and how many it allows. Where both meet, the receiver holds the sender back.
course-bytes = bytes
course-window = Receive window
course-rate = Rate
course-rate-about = Throughput: all bytes on the wire, headers and repeats among them. Goodput: data that was acknowledged for the first time.
course-throughput = Throughput
course-goodput = Goodput
course-sum = Sum
course-sum-about = Bytes on the wire and data acknowledged, since the beginning of what is shown.
course-on-the-wire = on the wire
course-delivered = delivered
course-direction = Direction
course-summary = { $wire } on the wire · { $delivered } delivered
course-reading = { $shown } packets read…
course-unscaled = windows unscaled
course-unscaled-about = The handshake is not in the capture, so nobody knows by how much windows are to be multiplied.
course-canvas = The course of the conversation. Left and right arrows move the crosshair, with Shift ten columns at a time; the line above says the values. The button before it shows the same as a table.

conversations-shown = { $n ->
    [one] 1 conversation
   *[other] { $shown } conversations
}
conversations-none = No conversations in the selected span.

counters-none = No counters were recorded in this file. A recording by dropscope live or dropscope record holds them.
counters-between = Change between
counters-unchanged = counters did not change
counter-was-reset = The counter was reset within this span
only-changed = Only what changed
interfaces = Interfaces
rule = Rule
rules-none = no rules
rule-does-not-count = This rule has no counter
conntrack-entries = Entries
other-counters = Other counters
group = Group
counter = Counter

drops-none = No kernel drops were recorded in this file. The agent records them where it may load its probe.
drops-shown = { $n ->
    [one] 1 packet dropped by the kernel
   *[other] { $shown } packets dropped by the kernel
}
drops-skipped = { $shown } more were counted but not recorded
reason = Reason
place = Place

capture = Capture
format = Format
written-by = Written by
bytes-on-the-wire = Bytes on the wire
begins = Begins
ends = Ends
quality = Quality of the data
quality-good = Nothing limits what can be said: the capture itself lost nothing.
quality-lost = quality: { $shown } lost
quality-limits = { $n ->
    [one] quality: 1 limit
   *[other] quality: { $n } limits
}
quality-notes = { $n ->
    [one] quality: 1 note
   *[other] quality: { $n } notes
}
capture-interfaces = Capture interfaces
link = Link
snaplen = Snaplen
lost-by-capture = Lost by the capture
capture-filter = Capture filter
all = all
kind = Kind
addresses = Addresses
what-happened = What happened

captures = Captures
files-joined = { $n } files that go on from each other, read as one capture:
open-another = Open another capture
share = Share
theme = Light or dark
language = 中文
language-sign = 文
keys = Keys
loading = Loading
cancel = Cancel
close = Close
link-connecting = connecting
link-fetching = fetching
link-live = live
link-reconnecting = reconnecting in { $seconds } s (try { $attempt })
link-ended = recording ended
filter = Display filter
filter-placeholder = filter
clear-filter = Clear the filter
filter-too-long = The filter is too long: it has { $bytes } bytes, and at most { $longest } are read.
filter-too-deep = The filter is nested too deeply: at most { $deepest } parentheses, braces and calls may stand within each other.
did-you-mean = Did you mean

status-packets = { $n ->
    [one] 1 packet
   *[other] { $shown } packets
}
status-flows = { $n ->
    [one] 1 flow
   *[other] { $shown } flows
}
status-uploaded-nothing = 0 bytes uploaded
status-uploaded = { $size } uploaded
status-on-server = on the server
status-stopped = stopped after { $bytes }; what was read is shown
copied = Copied.
copied-short = copied
copy = copy
copy-refused = The browser did not allow copying; select the text and copy it by hand.
nothing-readable = Nothing in it could be read. Drop a capture as tcpdump, Wireshark or dropscope write it: pcap or pcapng, also compressed.
readable-kept = Findings are judged on these alone.
restart-engine = Start the engine again
engine-died-what-to-do = Your file is untouched. Start the engine again to read it anew; the link in the address bar still shows the same screen.
engine-died-filter = The display filter may be the cause and was removed: { $filter }
title-dead = Engine stopped
title-findings = { $n ->
    [one] 1 finding
   *[other] { $n } findings
}

welcome = Why are packets being lost here?
welcome-drop = Drop a pcap or pcapng file anywhere on this page.
welcome-stays = Your file stays on this computer: it is read in this browser and never uploaded.
pick-file = Choose a file…
try-reference = Try the reference case
reference-case = Reference case
reference-about = A web server loses requests twice: first two firewall rules drop three in ten packets, then an interface with an MTU of 100 swallows every request after a good handshake. Packets and kernel counters lie on one timeline.
go-live = Go live
go-live-about = On the host where packets are lost, as root:
go-live-effect = Records packets of port 80 and the kernel's counters once a second, and prints the link to this page.
go-live-container = The same from within another network namespace: a name of ip netns, a process number, or a path.
on-this-server = On this server
opening = Opening…
drop-now = Drop to open. The file stays on this computer.
elsewhere = This link is about { $name }, a file on the sender's computer
elsewhere-what-to-do = Drop the same file here and the link shows what its sender saw.

share-server = The link opens exactly this screen: finding, packet, span and filter. It carries a token of its own that can only read this capture.
share-copy = Copy link
share-local = { $name } lies only on this computer. A link alone would show nothing to anybody else.
share-upload-about = Upload the file ({ $size }) to the server this page came from, and everybody with the link can read it.
share-upload-about-here = Upload the file ({ $size }) to the server this page came from: it runs on this computer. Whoever opens the link here can read it.
share-uploaded = { $name } lies on the server now. The link opens exactly this screen for everybody who has it, and can only read this capture.
share-only-here = This page comes from { $host }, so only this computer can open the link. For others, start a server on an address they can reach:
share-listen-about = Starts a review server on that address of this machine and prints its link: open it, drop the file there and share from there.
share-upload = Upload { $size } and copy link
share-no-upload = This link may not upload to the server. Open the page by the link the server printed when it started, or share from a server of your own:
share-no-server = This page came from no Dropscope server that takes uploads. Start one, open its link, and drop the file there:
share-local-link-here = Somebody else who has the same file can add the part of this link from # on to the address of a Dropscope page of their own, and drop the file there:
share-local-link = A colleague who has the same file can drop it onto the page this link opens:
share-copy-local = Copy link without the file
share-reference = Everybody's Dropscope holds the reference case: the link opens exactly this screen.
link-copied = Link copied.
copy-by-hand = The browser did not allow copying; copy the link by hand:
working = Working…
server-unreachable = The server does not answer.
server-unreachable-what-to-do = See whether dropscope still runs there and reload the page; what was read stays until then.
server-unreadable = The server gave an answer that is not understood
upload-cut = The upload was cut off.
upload-cut-what-to-do = Nothing was kept on the server. See whether it still runs and upload again.

key-filter = filter
key-findings = next and previous finding
key-rows = next and previous row
key-edges = begin and end the span at the lit packet
key-fit = fit the timeline to the selected span
key-ladder = flow graph
key-theme = light or dark
key-keys = this sheet
key-escape = take back: sheet, lit place, span, finding, zoom
hand-drag = Drag
hand-drag-does = selects a span on the timeline
hand-wheel = Wheel
hand-wheel-does = zooms at the pointer
hand-shift-wheel = Shift + wheel
hand-shift-wheel-does = moves along the timeline; so do two fingers
hand-double = Double click
hand-double-does = shows everything
hand-arrows = Arrows on the timeline
hand-arrows-does = move and zoom; Home shows everything
hand-right = Right click on a packet, or Shift + F10
hand-right-does = filter, follow, copy
