/* Verilog twin of matcher.cl for one metric: Hamming over 256 bits, the two nearest of P queries.
 *
 * Like the OpenCL kernel it keeps the queries in registers and streams the gallery past them once:
 * P processing elements take one 256-bit descriptor a cycle. Five stages: word, difference, counts
 * of 16 bits, sum, list. Ties go to the lower index, since indices come in ascending order and a
 * later word must be strictly nearer. What it proves holds for this RTL, not for what a vendor's
 * OpenCL compiler makes of matcher.cl.
 *
 *   load_*   sets the query of one element           start    empties all lists
 *   in_*     a descriptor; taken where valid & ready  busy     words are still on their way
 *   read_pe  whose list is shown on best_* and next_* one cycle later
 *
 * Verilog-2001, one clock, synchronous reset.
 */
module matcher #(
    parameter P = 8,            // processing elements: queries
    parameter PE_BITS = 8,      // of an element's number
    parameter INDEX_BITS = 32
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  load_valid,
    input  wire [PE_BITS-1:0]    load_pe,
    input  wire [255:0]          load_word,
    input  wire                  start,
    input  wire                  in_valid,
    output wire                  in_ready,
    input  wire [INDEX_BITS-1:0] in_index,
    input  wire [255:0]          in_word,
    output wire                  busy,
    input  wire [PE_BITS-1:0]    read_pe,
    output reg  [8:0]            best_distance,
    output reg  [INDEX_BITS-1:0] best_index,
    output reg  [8:0]            next_distance,
    output reg  [INDEX_BITS-1:0] next_index
);
  localparam STAGES = 4;  // before the list

  // A query that changes, or lists that are emptied, must not meet words on their way.
  assign in_ready = !rst && !load_valid && !start;

  reg [STAGES-1:0] valid;
  reg [255:0] word;
  reg [INDEX_BITS-1:0] index[0:STAGES-1];
  integer s;

  assign busy = |valid;

  always @(posedge clk) begin
    valid <= rst ? {STAGES{1'b0}} : {valid[STAGES-2:0], in_valid && in_ready};
    word <= in_word;
    index[0] <= in_index;
    for (s = 1; s < STAGES; s = s + 1) index[s] <= index[s-1];
  end

  wire [P*9-1:0] best_distances, next_distances;
  wire [P*INDEX_BITS-1:0] best_indices, next_indices;

  genvar p;
  generate
    for (p = 0; p < P; p = p + 1) begin : pe
      element #(.INDEX_BITS(INDEX_BITS)) element (
          .clk(clk),
          .empty(rst || start),
          .load(load_valid && load_pe == p),
          .load_word(load_word),
          .word(word),
          .last_valid(valid[STAGES-1]),
          .last_index(index[STAGES-1]),
          .best_distance(best_distances[p*9+:9]),
          .best_index(best_indices[p*INDEX_BITS+:INDEX_BITS]),
          .next_distance(next_distances[p*9+:9]),
          .next_index(next_indices[p*INDEX_BITS+:INDEX_BITS])
      );
    end
  endgenerate

  always @(posedge clk) begin
    best_distance <= best_distances[read_pe*9+:9];
    next_distance <= next_distances[read_pe*9+:9];
    best_index <= best_indices[read_pe*INDEX_BITS+:INDEX_BITS];
    next_index <= next_indices[read_pe*INDEX_BITS+:INDEX_BITS];
  end
endmodule

