package contestants;

/** What one consumer has counted, alone on its cache lines: its own thread writes, others read when it is done. */
class Tally extends TallyFields {
    long q1;
    long q2;
    long q3;
    long q4;
    long q5;
    long q6;
    long q7;
    long q8;
    long q9;
    long q10;
    long q11;
    long q12;
    long q13;
    long q14;
    long q15;
}

class TallyFields extends TallyPadding {
    long sum;
    long batches;
    long last;
    long finishedAt;
}

class TallyPadding {
    long p1;
    long p2;
    long p3;
    long p4;
    long p5;
    long p6;
    long p7;
    long p8;
    long p9;
    long p10;
    long p11;
    long p12;
    long p13;
    long p14;
    long p15;
}
