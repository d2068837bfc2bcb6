(() => {
  "use strict";
  const { columns, rows, sorted: first } = JSON.parse(document.getElementById("slices-data").textContent);
  const box = document.getElementById("slices");
  const [body, form] = [box.querySelector("tbody"), box.querySelector("form")];
  const [search, set, side, count, more] = ["search", "set", "side", "count", "more"].map((name) =>
    document.getElementById(`slices-${name}`),
  );
  const STEP = 50;
  const OFFSET = 2; // a row begins with its grouping set and its side
  let [sorted, falling, shown] = [first, true, STEP];

  const written = (value, { kind, decimals }) => {
    if (value === null) return "-";
    if (typeof value === "string") return value;
    return kind === "count" ? value.toLocaleString("en-US") : value.toFixed(decimals).replace(/^-(?=[0.]+$)/, "");
  };
  const number = (value) => (typeof value === "string" ? parseFloat(value.replace("inf", "Infinity")) : value);
  const compare = (a, b) => {
    const [x, y] = [a[OFFSET + sorted], b[OFFSET + sorted]];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = columns[sorted].kind === "text" ? (x < y ? -1 : x > y) : number(x) - number(y) || 0;
    return falling ? -order : order;
  };
  const line = (row) => {
    const element = document.createElement("tr");
    element.className = row[1] > 0 ? "bad" : row[1] < 0 ? "good" : "";
    columns.forEach((column, index) => {
      const cell = document.createElement(index ? "td" : "th");
      if (!index) cell.scope = "row";
      // A line may end after a slash.
      const parts = written(row[OFFSET + index], column).split(/(?<=\/)/);
      cell.append(...parts.flatMap((part, place) => (place ? [document.createElement("wbr"), part] : [part])));
      element.append(cell);
    });
    return element;
  };
  const draw = () => {
    const words = search.value.toLowerCase().split(" ").filter(Boolean);
    const found = rows.filter(
      (row) =>
        (!set || set.value === "" || row[0] === Number(set.value)) &&
        (side.value === "" || row[1] === Number(side.value)) &&
        words.every((word) => row[OFFSET].toLowerCase().includes(word)),
    );
    found.sort(compare);
    body.replaceChildren(...found.slice(0, shown).map(line));
    const some = Math.min(shown, found.length);
    const part = found.length < rows.length ? ` of ${rows.length.toLocaleString("en-US")} listed` : "";
    count.textContent = `${some.toLocaleString("en-US")} of ${found.length.toLocaleString("en-US")} slices${part}`;
    more.hidden = found.length <= shown;
    heads.forEach((head, index) => {
      if (index === sorted) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  const restart = () => {
    shown = STEP;
    draw();
  };
  const heads = [...box.querySelectorAll("thead th")];
  heads.forEach((head, index) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      falling = sorted === index ? !falling : columns[index].kind !== "text";
      sorted = index;
      restart();
    });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  [search, set, side].forEach((control) => control?.addEventListener("input", restart));
  more.addEventListener("click", () => {
    shown += STEP;
    draw();
  });
  form.hidden = false;
  restart();
})();
