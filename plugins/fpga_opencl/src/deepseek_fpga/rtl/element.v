/* One query and the two nearest descriptors seen so far. */
module element #(
    parameter INDEX_BITS = 32
) (
    input  wire                  clk,
    input  wire                  empty,
    input  wire                  load,
    input  wire [255:0]          load_word,
    input  wire [255:0]          word,
    input  wire                  last_valid,
    input  wire [INDEX_BITS-1:0] last_index,
    output reg  [8:0]            best_distance,
    output reg  [INDEX_BITS-1:0] best_index,
    output reg  [8:0]            next_distance,
    output reg  [INDEX_BITS-1:0] next_index
);
  localparam [8:0] NONE = 9'd511;  // farther than any: 256 bits at most differ

  reg [255:0] query, difference;
  reg [79:0] counts;  // 16 of 5 bits
  reg [8:0] distance;

  function [79:0] counted;  // bits set in each 16
    input [255:0] bits;
    integer i, b;
    begin
      counted = 80'd0;
      for (i = 0; i < 16; i = i + 1)
        for (b = 0; b < 16; b = b + 1)
          counted[5*i+:5] = counted[5*i+:5] + {4'd0, bits[16*i+b]};
    end
  endfunction

  function [8:0] summed;
    input [79:0] parts;
    integer i;
    begin
      summed = 9'd0;
      for (i = 0; i < 16; i = i + 1) summed = summed + {4'd0, parts[5*i+:5]};
    end
  endfunction

  always @(posedge clk) begin
    if (load) query <= load_word;
    difference <= query ^ word;
    counts <= counted(difference);
    distance <= summed(counts);
  end

  always @(posedge clk) begin
    if (empty) begin
      best_distance <= NONE;
      next_distance <= NONE;
      best_index <= {INDEX_BITS{1'b1}};
      next_index <= {INDEX_BITS{1'b1}};
    end else if (last_valid && distance < best_distance) begin
      best_distance <= distance;
      best_index <= last_index;
      next_distance <= best_distance;
      next_index <= best_index;
    end else if (last_valid && distance < next_distance) begin
      next_distance <= distance;
      next_index <= last_index;
    end
  end
endmodule
