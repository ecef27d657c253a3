//! Polygons in the plane, as PostgreSQL's `polygon` type reads them: edges and corners belong to
//! the area, longitudes are plain numbers.

use crate::types::geo::GeoPoint;

/// Whether the ring (closed or not) contains the point.
pub fn polygon_contains(ring: &[GeoPoint], point: GeoPoint) -> bool {
    let (x, y) = (point.longitude, point.latitude);
    let mut inside = false;
    for (index, a) in ring.iter().enumerate() {
        let b = &ring[(index + 1) % ring.len()];
        let ((ax, ay), (bx, by)) = ((a.longitude, a.latitude), (b.longitude, b.latitude));
        let cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax);
        let spans = |p: f64, q: f64, v: f64| p.min(q) <= v && v <= p.max(q);
        if cross == 0.0 && spans(ax, bx, x) && spans(ay, by, y) {
            return true;
        }
        if (ay > y) != (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax {
            inside = !inside;
        }
    }
    inside
}

/// Whether two rings are the same, in either direction; closing points do not count.
pub fn same_ring(a: &[GeoPoint], b: &[GeoPoint]) -> bool {
    let open = |ring: &[GeoPoint]| match ring {
        [first, .., last] if first == last => ring[..ring.len() - 1].to_vec(),
        _ => ring.to_vec(),
    };
    let (a, b) = (open(a), open(b));
    if a == b {
        return true;
    }
    let mut reversed = b;
    if let Some(rest) = reversed.get_mut(1..) {
        rest.reverse();
    }
    a == reversed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(points: &[(f64, f64)]) -> Vec<GeoPoint> {
        points
            .iter()
            .map(|(latitude, longitude)| GeoPoint { latitude: *latitude, longitude: *longitude })
            .collect()
    }

    #[test]
    fn edges_belong_to_the_area() {
        let square = ring(&[(0.0, 0.0), (0.0, 4.0), (4.0, 4.0), (4.0, 0.0)]);
        let at = |latitude, longitude| polygon_contains(&square, GeoPoint { latitude, longitude });
        assert!(at(2.0, 2.0) && at(0.0, 2.0) && at(4.0, 4.0));
        assert!(!at(5.0, 2.0) && !at(-0.1, 0.0));
    }

    #[test]
    fn rings_in_either_direction() {
        let a = ring(&[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
        let closed = ring(&[(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]);
        assert!(same_ring(&a, &closed));
        assert!(!same_ring(&a, &ring(&[(0.0, 0.0), (0.0, 2.0), (1.0, 1.0)])));
    }
}
